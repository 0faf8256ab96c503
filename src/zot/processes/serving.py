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
from zot.processes.plan import Plan

_log = logging.getLogger("zot.serving")

_PROBED_LATELY_S = 60.0
_TICK_S = 0.05


class Serving:
    """An HTTP server on one listening socket."""

    def __init__(self, server: ConnectionServer, health: Health, plan: Plan) -> None:
        """Take what answers, its health, and how long to take for leaving."""
        self._server = server
        self._health = health
        self._plan = plan
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
            await asyncio.sleep(self._plan.unready_s)
        if self._listener is not None:
            self._listener.close()
        deadline_s = time.monotonic() + self._plan.drain_s
        self._server.close_idle()
        while self._server.busy() and time.monotonic() < deadline_s:
            await asyncio.sleep(_TICK_S)
            self._server.close_idle()
        cut_off = self._server.busy()
        if cut_off:
            _log.warning("%d requests were still under way after %.0f s and are cut off", cut_off, self._plan.drain_s)
        await self._server.shutdown(timeout=0.1)
