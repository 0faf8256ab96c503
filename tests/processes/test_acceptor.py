"""Accepting: what happens when descriptors run out."""

import asyncio
import errno
import logging
import socket

import pytest

from http_client import parsed
from loopback import ok
from zot.api.connection import ConnectionLimits, ConnectionServer
from zot.processes import acceptor
from zot.processes.acceptor import Acceptor
from zot.processes.listeners import listen

TURNS = 1000


class Exhausted(socket.socket):
    """A listening socket of a process that has no descriptor left for a while."""

    failures = 1_000_000
    tried = 0

    def accept(self) -> tuple[socket.socket, object]:
        """Fail, as often as it has to."""
        self.tried += 1
        if self.tried <= self.failures:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def exhausted() -> Exhausted:
    """Such a socket, on a free port."""
    (listener,) = listen("127.0.0.1", 0, 1)
    return Exhausted(fileno=listener.detach())


def accepting(listener: socket.socket) -> tuple[ConnectionServer, Acceptor]:
    """A server on it that says hello."""
    server = ConnectionServer(ok, ConnectionLimits(), [])
    started = Acceptor(server, listener, None, 5.0)
    started.start()
    return server, started


async def test_a_failed_accept_is_not_repeated_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While a client waits for a descriptor the event loop neither spins nor logs more than one line."""
    monkeypatch.setattr(acceptor, "_RETRY_S", 3600.0)
    with exhausted() as listener, socket.create_connection(listener.getsockname()), caplog.at_level(logging.DEBUG):
        server, started = accepting(listener)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        started.stop()
        assert listener.tried == 1
    assert [(record.name, record.levelname) for record in caplog.records if record.name != "asyncio"] == [
        ("zot.serving", "WARNING")
    ]
    assert "open files" in caplog.text
    await server.shutdown(1)


async def test_clients_are_accepted_once_there_are_descriptors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients that waited are served; the operator was warned once, however often it was tried."""
    monkeypatch.setattr(acceptor, "_RETRY_S", 0.01)
    with exhausted() as listener:
        listener.failures = 5
        server, started = accepting(listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert parsed(await reader.read()).body == b"hello"
        writer.close()
        await writer.wait_closed()
        started.stop()
        assert listener.tried > listener.failures
    assert sum(record.name == "zot.serving" for record in caplog.records) == 1
    await server.shutdown(1)
