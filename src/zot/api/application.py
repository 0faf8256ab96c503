"""The HTTP application: every path there is, and what becomes of whatever a handler raises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from zot.api.distribution import VERSION_HEADER, Distribution
from zot.api.errors import Answered, answer, method_not_allowed, refusal
from zot.api.route import PREFIX, NoRoute

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

Routes = Mapping[str, Mapping[str, Handler]]
"""Exact path -> method -> handler: what is not the distribution API."""


class Application:
    """Answers every request, one way or another."""

    def __init__(self, distribution: Distribution, routes: Routes, fallback: Handler | None = None) -> None:
        """Take the distribution API, the other routes, and who answers a GET of a path that nobody has (a UI)."""
        self._distribution = distribution
        self._routes = routes
        self._fallback = fallback

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer a request. Raises ConnectionError alone: when the client is gone, or too slow."""
        path, _, query = http.raw_path.partition("?")
        try:
            route = self._routes.get(path)
            if route is not None:
                return await self._of_route(http, route)
            if path.startswith(PREFIX) or path == "/v2":
                response = await self._distribution.handle(http, path, query)
                _add_version(response)
                return response
            if self._fallback is not None and http.method in {"GET", "HEAD"}:
                return await self._fallback(http)
            return web.Response(status=404)
        except NoRoute:
            return web.Response(status=404)
        except Answered as answered:
            response = answer(answered.error, answered.headers)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception as error:  # noqa: BLE001 (the one place that turns anything into an answer)
            response = answer(refusal(error))
        if http.writer.output_size > 0:
            raise ConnectionAbortedError("the answer had begun")
        _add_version(response)
        return _closing_if_unread(http, response)

    async def _of_route(self, http: web.BaseRequest, route: Mapping[str, Handler]) -> web.StreamResponse:
        handler = route.get(http.method) or (route.get("GET") if http.method == "HEAD" else None)
        if handler is None:
            return answer(method_not_allowed(http.method), {"Allow": ", ".join(route)})
        return await handler(http)


def _add_version(response: web.StreamResponse) -> None:
    if not response.prepared:
        response.headers.setdefault(*VERSION_HEADER)


def _closing_if_unread(http: web.BaseRequest, response: web.Response) -> web.Response:
    """Close the connection after a refusal whose request has a body on the way, rather than read that to its end."""
    if http.body_exists and not http.content.is_eof():
        response.force_close()
    return response
