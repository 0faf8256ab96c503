"""Serves HTTP on a socket, and drains it without cutting requests off."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress

from zot.api.connection import ConnectionServer
from zot.api.health import Health
from zot.processes.acceptor import Acceptor
from zot.server.plan import ServerPlan

_log = logging.getLogger("zot.serving")

_PROBED_RECENTLY_S = 60.0
_TICK_S = 0.05


class DrainingServer:
    """An HTTP server on one listening socket."""

    def __init__(self, server: ConnectionServer, health: Health, plan: ServerPlan) -> None:
        """`plan` has the limits of a drain."""
        self._server = server
        self._health = health
        self._plan = plan
        self._acceptor: Acceptor | None = None
        self._listener: socket.socket | None = None

    async def start(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        """Accept connections. The caller owns the listening socket, which `drain` shuts down."""
        self._listener = listener
        self._acceptor = Acceptor(self._server, listener, context, self._server.header_s)
        self._acceptor.start()

    async def drain(self, at_once: asyncio.Event) -> None:
        """Stop accepting; return when no request is under way, the time is up, or `at_once` is set."""
        self._server.draining = self._health.draining = True
        self._plan.stop.begin()
        if self._health.probed.ago_s < _PROBED_RECENTLY_S:
            await _within(min(self._plan.unready_s, self._plan.stop.requests_s), at_once)
        await self._stop_accepting()
        stop = self._plan.stop
        self._server.close_idle()
        if self._server.busy():
            _log.info("waiting for %d requests under way", self._server.busy())
        while self._server.busy() and stop.left_s(stop.requests_s) and not at_once.is_set():
            await asyncio.sleep(_TICK_S)
            self._server.close_idle()
        cut_off = self._server.busy()
        if cut_off:
            _log.warning("%d requests were still under way and are cut off", cut_off)
        await self._server.shutdown(timeout=0.1)

    async def _stop_accepting(self) -> None:
        """Close the queue, so that no client waits in one that is not served."""
        if self._acceptor is not None:
            self._acceptor.stop()
            # The last accepted sockets become connections in the next turn of the loop.
            await asyncio.sleep(0)
        if self._listener is not None:
            # Other processes have the socket, too: this ends it for all of them.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)


async def _within(time_s: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), time_s)
