"""Serving HTTP on a socket, and leaving without cutting anybody off."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time

from zot.api.connection import ConnectionServer
from zot.api.health import Health
from zot.processes.listeners import BACKLOG

_log = logging.getLogger("zot.serving")

# How long to go on accepting once /readyz says no, so that a load balancer that asks it sends nobody any more.
_UNREADY_S = 5.0
_PROBED_LATELY_S = 60.0
_TICK_S = 0.05


class Serving:
    """An HTTP server on one listening socket."""

    def __init__(self, server: ConnectionServer, health: Health, drain_s: float) -> None:
        """Take what answers, its health, and how long requests under way may take once told to leave."""
        self._server = server
        self._health = health
        self._drain_s = drain_s
        self._listener: asyncio.Server | None = None

    async def start(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        """Accept connections. The listening socket stays its owner's."""
        loop = asyncio.get_running_loop()
        # A duplicate, which asyncio may close: the queue of the original belongs to whoever comes next.
        self._listener = await loop.create_server(
            self._server, sock=socket.socket(fileno=socket.dup(listener.fileno())), ssl=context, backlog=BACKLOG
        )

    async def drain(self) -> None:
        """Stop accepting and return when no request is under way, or the time is up."""
        self._server.draining = self._health.draining = True
        if time.monotonic() - self._health.asked_s < _PROBED_LATELY_S:
            await asyncio.sleep(_UNREADY_S)
        if self._listener is not None:
            self._listener.close()
        deadline_s = time.monotonic() + self._drain_s
        self._server.close_idle()
        while self._server.busy() and time.monotonic() < deadline_s:
            await asyncio.sleep(_TICK_S)
            self._server.close_idle()
        cut_off = self._server.busy()
        if cut_off:
            _log.warning("%d requests were still under way after %.0f s and are cut off", cut_off, self._drain_s)
        await self._server.shutdown(timeout=0.1)
