"""/livez, /startupz and /readyz: for those who decide whether to restart it or to send it requests."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from zot.storage.interface import StorageError

NOT_READY = "internal server error: not ready yet"


class Health:
    """What the probes answer."""

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        """Take a check that raises StorageError while requests cannot be served."""
        self._check = check
        self.started = False
        self.draining = False
        self.asked_s = float("-inf")
        """When somebody last asked whether it is ready, on the monotonic clock: there is a load balancer to tell."""

    async def live(self, http: web.BaseRequest) -> web.Response:
        """The process answers."""
        del http
        return _ok()

    async def startup(self, http: web.BaseRequest) -> web.Response:
        """What has to be opened is open."""
        del http
        return _ok() if self.started else _not_ready(500, NOT_READY)

    async def ready(self, http: web.BaseRequest) -> web.Response:
        """Requests are served; not while draining, nor while the storage is away."""
        del http
        self.asked_s = time.monotonic()
        if not self.started:
            return _not_ready(500, NOT_READY)
        if self.draining:
            return _not_ready(503, "draining")
        try:
            await self._check()
        except StorageError as error:
            return _not_ready(503, str(error))
        return _ok()


def _ok() -> web.Response:
    return web.Response(text="ok")


def _not_ready(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)
