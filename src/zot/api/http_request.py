"""An HTTP request, and what is learned about it while it is handled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from zot.auth.decision import NO_CONTEXT, RequestContext
from zot.auth.principal import Principal
from zot.registry.errors import RegistryError
from zot.registry.request import Request


class SocketAddress(NamedTuple):
    """An end of a connection. `ip` is empty for a Unix socket; `port` is None where it is not known."""

    ip: str
    port: int | None

    def __str__(self) -> str:
        """Return `192.0.2.1:4711`, `[2001:db8::1]:4711`, or what of it is known."""
        if not self.ip:
            return "unix"
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return host if self.port is None else f"{host}:{self.port}"


class HttpRequest(web.BaseRequest):
    """A request of a client, as handlers get it and observers see it after the response."""

    request_id: str = ""
    """Its id, in logs and in the response; empty until it has one."""
    request: Request | None = None
    """Its meaning, once it was parsed."""
    principal: Principal | None = None
    """Its sender, once it is authenticated."""
    context: RequestContext = NO_CONTEXT
    """How and from where it came, once it is authenticated, if conditions of access control look at it."""
    of_own_page: bool = False
    """Whether it is a form that one of the registry's own pages sent: its cookie counts as a login then."""
    client: SocketAddress | None = None
    """The client's address, once it was computed from the headers of proxies."""
    complete: CompleteResponse | None = None
    """Adds the headers that every response has. Set by the server that received the request."""
    fault: RegistryError | None = None
    """Why the message cannot be served, although its end is known."""
    started_s: float = 0.0
    """When handling began, by the event loop's clock."""
    response: web.StreamResponse | None = None
    """The response, once its headers are about to be sent."""
    aborted: bool = False
    """Whether the connection ended before the response did."""
    sent_bytes: int = 0
    """How much of the body of a streamed response was sent."""
    cookies_to_set: tuple[str, ...] = ()
    """Set-Cookie headers for the response, also if it becomes an error."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Add the common headers: aiohttp calls this for each response, once all other headers are set."""
        self.response = response
        if self.complete is not None:
            self.complete(self, response)


Handler = Callable[[HttpRequest], Awaitable[web.StreamResponse]]

CompleteResponse = Callable[[HttpRequest, web.StreamResponse], None]
"""Adds headers to a response that is about to be sent."""
