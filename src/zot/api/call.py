"""One request on its way: what was sent, what it means, who asks, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from zot.auth.decision import Decision
from zot.auth.principal import Principal
from zot.registry.request import Request

REQUEST = web.RequestKey("request", Request)
"""What an HTTP request means, once it was parsed: for logs and metrics."""
PRINCIPAL = web.RequestKey("principal", Principal)
"""Who makes it, once that is known."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in."""

    http: web.BaseRequest
    request: Request
    principal: Principal
    decision: Decision
