"""The probes /livez, /startupz and /readyz, for orchestrators and load balancers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from zot.api.http_request import HttpRequest
from zot.api.probe_times import ProbeTimes
from zot.catalog.interface import CatalogError
from zot.storage.interface import StorageError

_log = logging.getLogger("zot.api")

NOT_READY = "internal server error: not ready yet"


class Health:
    """Responds to probes."""

    def __init__(
        self, check: Callable[[], Awaitable[None]], probed: ProbeTimes, unresponsive: Callable[[], Sequence[str]] = list
    ) -> None:
        """Respond by `check`, which raises StorageError or CatalogError if requests cannot be served.

        `unresponsive` returns the names of the server's processes that do not respond.
        """
        self._check = check
        self._unresponsive = unresponsive
        self._reason = ""
        self.started = False
        self.draining = False
        self.probed = probed

    async def live(self, http: HttpRequest) -> web.Response:
        """Respond 200: the process runs."""
        del http
        return _ok()

    async def startup(self, http: HttpRequest) -> web.Response:
        """Respond 200 once the stores are open."""
        del http
        return _ok() if self.started else _not_ready(500, NOT_READY)

    async def ready(self, http: HttpRequest) -> web.Response:
        """Respond 200 while requests are served: not while draining, or without storage, catalog or a process.

        The log says why; the response does not, because any client may ask and the reason has paths.
        """
        del http
        self.probed.now()
        if not self.started:
            return _not_ready(500, NOT_READY)
        if self.draining:
            return _not_ready(503, "draining")
        if silent := self._unresponsive():
            return _not_ready(503, f"not responding: {', '.join(silent)}")
        try:
            await self._check()
        except StorageError as error:
            return self._cannot_serve("the storage cannot be used", error)
        except CatalogError as error:
            return self._cannot_serve("the catalog cannot be used", error)
        if self._reason:
            _log.warning("ready again")
            self._reason = ""
        return _ok()

    def _cannot_serve(self, what: str, error: Exception) -> web.Response:
        if str(error) != self._reason:
            _log.error("not ready: %s: %s", what, error)
        self._reason = str(error)
        return _not_ready(503, what)


def _ok() -> web.Response:
    return web.Response(text="ok")


def _not_ready(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)
