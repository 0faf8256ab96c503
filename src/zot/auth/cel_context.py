"""The CEL variables `req.*` of access control conditions.

A condition reads two or three of them, so each value is computed when it is read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Protocol

from zot.auth.decision import RequestContext
from zot.auth.principal import Principal
from zot.registry.request import Action, Right


class CelSubject(Protocol):
    """A principal and the context of its request: the same for all rights of the request."""

    principal: Principal
    context: RequestContext

    @property
    def groups(self) -> Sequence[str]:
        """Return all groups: those of the principal, and those of the configuration."""

    @property
    def is_admin(self) -> bool:
        """Tell whether the admin policy names the principal."""

    @property
    def time(self) -> dt.datetime:
        """Return the time of the decision: the same for all its conditions."""


class CelContext:
    """Values of the variables, for one action of one right."""

    __slots__ = ("action", "reference", "right", "subject")

    def __init__(self, subject: CelSubject, right: Right, action: Action) -> None:
        self.subject = subject
        self.right = right
        self.action = action
        self.reference = right.reference or ""

    def __getitem__(self, name: str) -> object:
        """Return the value of the variable. Raises KeyError if it is not declared."""
        return VALUES[name](self)


ACTION_VARIABLES = frozenset({"req.action"})
"""Variables that differ between the actions of one right."""

TIME_VARIABLES = frozenset({"req.time"})
"""Variables that differ between two requests that are the same."""

RIGHT_VARIABLES = frozenset({"req.repository", "req.reference", "req.referenceType", "req.tag", "req.digest"})
"""Variables that differ between the rights of one request."""


def _tag(of: CelContext) -> str:
    return "" if ":" in of.reference else of.reference


def _digest(of: CelContext) -> str:
    return of.reference if ":" in of.reference else ""


VALUES: dict[str, Callable[[CelContext], object]] = {
    "req.time": lambda of: of.subject.time,
    "req.method": lambda of: of.subject.context.method,
    "req.userAgent": lambda of: of.subject.context.user_agent,
    "req.action": lambda of: of.action.value,
    "req.repository": lambda of: of.right.repository,
    "req.reference": lambda of: of.reference,
    "req.referenceType": lambda of: "digest" if _digest(of) else "tag" if of.reference else "",
    "req.tag": _tag,
    "req.digest": _digest,
    "req.user.username": lambda of: of.subject.principal.name,
    "req.user.groups": lambda of: of.subject.groups,
    "req.auth.anonymous": lambda of: not of.subject.principal.authenticated,
    "req.auth.admin": lambda of: of.subject.is_admin,
    "req.client.ip": lambda of: of.subject.context.client_ip,
    "req.client.forwardedFor": lambda of: list(of.subject.context.forwarded_for),
    "req.tls.enabled": lambda of: of.subject.context.tls_version is not None,
    "req.tls.version": lambda of: of.subject.context.tls_version or "",
    "req.claims": lambda of: dict(of.subject.principal.claims),
}
