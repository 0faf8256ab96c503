"""The HTTP application: every path, and the response to every exception."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from aiohttp import web

from zot.api.distribution import Distribution
from zot.api.errors import ErrorResponse, error_response, method_not_allowed, to_registry_error
from zot.api.http_request import Handler, HttpRequest
from zot.api.middleware import Middleware
from zot.api.route import PREFIX, NoRouteError, without_empty_segments

Routes = Mapping[str, Mapping[str, Handler]]
"""Exact path -> method -> handler, for everything but the distribution API."""


# The characters of a query (RFC 3986, 3.4), and the sign of those that are encoded already.
_QUERY = "/?%:@!$&'()*+,;=~"


class Application:
    """Responds to every request."""

    def __init__(
        self, distribution: Distribution, middleware: Middleware, routes: Routes, fallback: Handler | None = None
    ) -> None:
        """Serve the distribution API and other routes; `fallback` responds to any other path."""
        self._distribution = distribution
        self._middleware = middleware
        self.add_headers = middleware.add_headers
        self._routes = routes
        self._fallback = fallback

    async def handle(self, http: HttpRequest) -> web.StreamResponse:
        """Return the response to a request. Raises ConnectionError only: the client is gone, or too slow."""
        try:
            return self._middleware.refusal(http) or await self._respond(http)
        except NoRouteError:
            return web.Response(status=404)
        except ErrorResponse as refusal:
            return _refused(http, error_response(refusal.error, refusal.headers))
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 (the one place that turns any exception into a response)
            return _refused(http, error_response(to_registry_error(error)))

    async def _respond(self, http: HttpRequest) -> web.StreamResponse:
        path, _, query = http.raw_path.partition("?")
        route = self._routes.get(path)
        if route is not None:
            handler = route.get(http.method) or (route.get("GET") if http.method == "HEAD" else None)
            if handler is None:
                allowed = [each for method in route for each in (("GET", "HEAD") if method == "GET" else (method,))]
                raise method_not_allowed(http.method, *allowed)
            return await handler(http)
        if (cleaned := without_empty_segments(path)) is not None:
            return _redirect(cleaned, query)
        if path.startswith(PREFIX):
            return await self._distribution.handle(http, path, query)
        if self._fallback is not None:
            return await self._fallback(http)
        raise NoRouteError(path)


def _redirect(path: str, query: str) -> web.Response:
    """Redirect to a cleaned path, with the same query."""
    location = path if not query else f"{path}?{quote(query, safe=_QUERY, errors='replace')}"
    return web.Response(status=301, headers={"Location": location})


def _refused(http: HttpRequest, response: web.Response) -> web.Response:
    """Return a refusal, or abort a response that has begun: the client sees that it ends short."""
    if http.writer.output_size > 0:
        raise ConnectionAbortedError("the response had begun")
    return response
