"""The channel from a process to its supervisor keeps frames apart, whatever their size."""

import os
import threading

from zot.processes.channel import READY, ChannelReceiver, ChannelSender


def pair() -> tuple[ChannelSender, ChannelReceiver]:
    """Make both ends."""
    receiving, sending = os.pipe()
    return ChannelSender(sending), ChannelReceiver(receiving)


def test_frames_arrive_whole_and_in_order() -> None:
    """More than a pipe holds is received in parts."""
    sender, receiver = pair()
    sent = [(READY, b""), (b"C", b"x" * 1_000_000), (b"P", b"y")]

    def send_all() -> None:
        for kind, content in sent:
            sender.send(kind, content)
        os.close(sender._descriptor)

    thread = threading.Thread(target=send_all)
    thread.start()
    received: list[tuple[bytes, bytes]] = []
    while not receiver.ended:
        received += receiver.receive()
    thread.join()
    receiver.close()
    assert received == sent


def test_half_a_frame_is_none() -> None:
    """What a process that was killed had begun to send is not received."""
    sender, receiver = pair()
    os.write(sender._descriptor, b"C\0\0\0\x05abc")
    assert list(receiver.receive()) == []
    os.close(sender._descriptor)
    assert list(receiver.receive()) == []
    assert receiver.ended
    receiver.close()


def test_without_a_supervisor_nothing_is_sent() -> None:
    """A process whose supervisor was killed finishes what it does."""
    sender, receiver = pair()
    receiver.close()
    sender.send(READY)
    os.close(sender._descriptor)
