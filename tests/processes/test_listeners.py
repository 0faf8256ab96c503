"""The sockets that clients connect to."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers.process import free_port
from zot.processes.listeners import CannotListen, listen, listen_unix


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
    """A port that somebody has is refused with its name, even by somebody who would share it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"http.address '127.0.0.1', http.port {port}: Address already in use"):
            listen("127.0.0.1", port, count)
    for each in listen("127.0.0.1", port, count):
        each.close()


@pytest.mark.parametrize("address", ["192.0.2.1", "no such host.invalid"])
def test_an_address_that_is_not_ours_is_refused(address: str) -> None:
    """An address of another machine, or no address at all, is said with its name."""
    with pytest.raises(CannotListen, match=f"http.address '{address}'"):
        listen(address, 0, 1)


def test_ipv6_takes_ipv4_too() -> None:
    """`::` is every address of the machine, as for Go's listeners; `::1` is one."""
    for address, reachable in (("::", ["::1", "127.0.0.1"]), ("::1", ["::1"])):
        with ExitStack() as opened:
            (listener,) = listen(address, 0, 1)
            opened.enter_context(listener)
            for each in reachable:
                socket.create_connection((each, listener.getsockname()[1])).close()


def test_a_unix_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    """A server that was killed leaves its socket; the next one takes its place, but not that of one who lives."""
    path = str(tmp_path / "zot.sock")
    listen_unix(path).close()
    with listen_unix(path):
        with pytest.raises(CannotListen, match="somebody listens there already"):
            listen_unix(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_file_is_not_replaced_by_a_socket(tmp_path: Path) -> None:
    """What is no socket stays, and neither is a directory made for one."""
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(CannotListen, match="exists and is no socket"):
        listen_unix(str(file))
    assert file.read_text() == "precious"
    with pytest.raises(CannotListen, match="No such file or directory"):
        listen_unix(str(tmp_path / "missing" / "zot.sock"))
