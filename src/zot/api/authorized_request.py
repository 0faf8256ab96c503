"""One request on its way: what was sent, what it means, who asks, and what was decided."""

from __future__ import annotations

from typing import NamedTuple

from zot.api.http_request import HttpRequest
from zot.auth.decision import NO_CONTEXT, Decision, RequestContext
from zot.auth.principal import Principal
from zot.registry.request import Request


class AuthorizedRequest(NamedTuple):
    """A request that was let in."""

    http: HttpRequest
    request: Request
    principal: Principal
    decision: Decision
    circumstances: RequestContext = NO_CONTEXT
    """How and from where it came: for what else is to be decided on its way."""
