"""The sockets that clients connect to."""

import errno
import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from servers.process import free_port
from zot.processes.listeners import ListenError, listen, listen_unix


@pytest.mark.parametrize("port", [0, None])
def test_sockets_of_all_workers_share_one_port(port: int | None) -> None:
    """Each worker has a socket of its own, on one port that is given or chosen."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(each) for each in listen("127.0.0.1", free_port() if port is None else 0, 3)]
        assert len({each.getsockname() for each in sockets}) == 1
        assert len({each.fileno() for each in sockets}) == 3
        assert sockets[0].getsockname()[1] != 0


@pytest.mark.parametrize("count", [1, 2])
def test_a_port_is_one_servers(count: int) -> None:
    """A port in use is refused by name, even if its owner would share it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=rf"http.address '127.0.0.1', http.port {port}: Address already in use"):
            listen("127.0.0.1", port, count)
    for each in listen("127.0.0.1", port, count):
        each.close()


@pytest.mark.parametrize("address", ["192.0.2.1", "no such host.invalid"])
def test_an_address_that_is_not_ours_is_refused(address: str) -> None:
    """An address of another machine, or no address at all, is said with its name."""
    with pytest.raises(ListenError, match=f"http.address '{address}'"):
        listen(address, 0, 1)


def reached(address: str) -> set[str]:
    """Listen on an address, and return which of the machine's own addresses lead there."""
    found = set()
    (listener,) = listen(address, 0, 1)
    with listener, ExitStack() as opened:
        clients = set()
        for each in ("127.0.0.1", "::1"):
            with suppress(OSError):
                client = socket.create_connection((each, listener.getsockname()[1]))
                clients.add(opened.enter_context(client).getsockname()[:2])
        listener.setblocking(False)
        # Another program may listen on the same port of the other address.
        with suppress(BlockingIOError):
            while True:
                accepted, (host, port, *_) = listener.accept()
                accepted.close()
                host = host.removeprefix("::ffff:")
                if (host, port) in clients:
                    found.add(host)
    return found


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "[::]", "::ffff:0.0.0.0", "0:0:0:0:0:0:0:0"])
def test_a_wildcard_is_every_address_of_both_families(address: str) -> None:
    """As for Go's listeners, whichever family it is written in, and with brackets too."""
    assert reached(address) == {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1"), ("localhost", "127.0.0.1")],
)
def test_another_address_is_one(address: str, expected: str) -> None:
    """An address is that one alone; of a name that has both families the IPv4 address is taken."""
    assert reached(address) == {expected}


def test_without_ipv6_a_wildcard_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without IPv6 serves all its addresses all the same."""
    sockets = socket.socket

    def without(family: int = socket.AF_INET, *arguments: int, **named: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return sockets(family, *arguments, **named)

    monkeypatch.setattr(socket, "socket", without)
    for address in ("", "0.0.0.0", "::"):
        (listener,) = listen(address, 0, 1)
        with listener:
            assert listener.getsockname()[0] == "0.0.0.0"


def test_a_port_that_one_family_has_is_in_use() -> None:
    """A wildcard does not take the half of a port that another program leaves."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ListenError, match="Address already in use"):
            listen("", other.getsockname()[1], 2)


def test_a_unix_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    """A server that was killed leaves its socket; the next one takes its place, but not that of one who lives."""
    path = str(tmp_path / "zot.sock")
    listen_unix(path).close()
    with listen_unix(path):
        with pytest.raises(ListenError, match="another process listens there already"):
            listen_unix(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_file_is_not_replaced_by_a_socket(tmp_path: Path) -> None:
    """What is no socket stays, and neither is a directory made for one."""
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(ListenError, match="exists and is no socket"):
        listen_unix(str(file))
    assert file.read_text() == "precious"
    with pytest.raises(ListenError, match="No such file or directory"):
        listen_unix(str(tmp_path / "missing" / "zot.sock"))
