"""Accepts connections: as many as the process can hold, and none while it has no descriptor for them."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import ExitStack

from zot.api.connection import ConnectionServer
from zot.api.tls_transport import TlsTransport, handshake
from zot.processes.plain_http import answer_plain_http, speaks_plain_http

_log = logging.getLogger("zot.serving")

_AT_ONCE = 64
_RETRY_S = 0.25
_WARNED_EVERY_S = 60.0


class Acceptor:
    """Accepts the connections of one listening socket.

    Clients beyond the limit wait in the socket's queue until a connection is closed. When descriptors run out, the
    event loop's own accept would retry a thousand times a second, and log each failure.
    """

    def __init__(
        self, server: ConnectionServer, listener: socket.socket, tls: ssl.SSLContext | None, handshake_s: float
    ) -> None:
        """`listener` stays open here; `handshake_s` limits a TLS handshake, if there is TLS."""
        self._server = server
        self._listener = listener
        self._tls = tls
        self._handshake_s = handshake_s
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._warned_s = float("-inf")
        self._accepting = False

    def start(self) -> None:
        """Start accepting."""
        self._accepting = True
        self._loop.add_reader(self._listener, self._accept)

    def stop(self) -> None:
        """Stop accepting."""
        self._accepting = False
        self._resume_later(None)
        self._loop.remove_reader(self._listener)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._server.has_room(len(self._connecting)):
                self._pause("as many connections are open as the process may have (http.limits.maxConnections)")
                return
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # the client went away while it waited
            except OSError as error:
                self._pause(f"accepting failed: {error.strerror or error} (out of files: raise the limit of open ones)")
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._connect(accepted))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            if self._tls is not None and await speaks_plain_http(accepted, self._handshake_s):
                await answer_plain_http(accepted)
                return
        except (OSError, TimeoutError) as error:
            accepted.close()
            _log.debug("connection not established: %s", error)
            return
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(self._server, accepted)
            else:
                await self._connect_tls(accepted, self._tls)
        except (OSError, TimeoutError) as error:  # the handshake failed, or the client is gone
            _log.debug("connection not established: %s", error)

    async def _connect_tls(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        with ExitStack() as failing:
            connection = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            failing.callback(connection.close)
            await handshake(connection, self._handshake_s)
            failing.pop_all()
        TlsTransport(connection, self._server())

    def _pause(self, reason: str) -> None:
        """Leave clients in the queue for a moment; warn the operator at most once a minute."""
        self._loop.remove_reader(self._listener)
        self._resume_later(self._loop.call_later(_RETRY_S, self._resume))
        if self._loop.time() - self._warned_s > _WARNED_EVERY_S:
            self._warned_s = self._loop.time()
            _log.warning("new connections wait: %s", reason)

    def _resume(self) -> None:
        self._retry = None
        if self._accepting:
            self._loop.add_reader(self._listener, self._accept)

    def _resume_later(self, timer: asyncio.TimerHandle | None) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = timer
