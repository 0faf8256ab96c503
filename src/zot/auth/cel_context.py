"""What conditions of access control see of a request, by their names in CEL.

A condition looks at two or three of them, so each is found out when it is looked at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Protocol

from zot.auth.decision import RequestContext
from zot.auth.principal import Principal
from zot.registry.request import Action, Right


class CelSubject(Protocol):
    """Who asks, when and from where: the same for all rights of one request."""

    principal: Principal
    circumstances: RequestContext

    @property
    def groups(self) -> Sequence[str]:
        """Return all groups that count."""

    @property
    def is_admin(self) -> bool:
        """Tell whether the admin policy names them."""

    @property
    def time(self) -> dt.datetime:
        """Return when the decision began."""


class CelContext:
    """The facts about one action of one right."""

    __slots__ = ("action", "asker", "reference", "right")

    def __init__(self, asker: CelSubject, right: Right, action: Action) -> None:
        """Take what they are about."""
        self.asker = asker
        self.right = right
        self.action = action
        self.reference = right.reference or ""

    def __getitem__(self, name: str) -> object:
        """Return the fact of that name; KeyError if there is none."""
        return FACTS[name](self)


OF_ACTION = frozenset({"req.action"})
"""The names of facts that differ between the actions of one right."""

OF_RIGHT = frozenset({"req.repository", "req.reference", "req.referenceType", "req.tag", "req.digest"})
"""The names of facts that differ between the rights of one request."""


def _tag(of: CelContext) -> str:
    return "" if ":" in of.reference else of.reference


def _digest(of: CelContext) -> str:
    return of.reference if ":" in of.reference else ""


FACTS: dict[str, Callable[[CelContext], object]] = {
    "req.time": lambda of: of.asker.time,
    "req.method": lambda of: of.asker.circumstances.method,
    "req.userAgent": lambda of: of.asker.circumstances.user_agent,
    "req.action": lambda of: of.action.value,
    "req.repository": lambda of: of.right.repository,
    "req.reference": lambda of: of.reference,
    "req.referenceType": lambda of: "digest" if _digest(of) else "tag" if of.reference else "",
    "req.tag": _tag,
    "req.digest": _digest,
    "req.user.username": lambda of: of.asker.principal.name,
    "req.user.groups": lambda of: of.asker.groups,
    "req.auth.anonymous": lambda of: not of.asker.principal.authenticated,
    "req.auth.admin": lambda of: of.asker.is_admin,
    "req.client.ip": lambda of: of.asker.circumstances.client_ip,
    "req.client.forwardedFor": lambda of: list(of.asker.circumstances.forwarded_for),
    "req.tls.enabled": lambda of: of.asker.circumstances.tls_version is not None,
    "req.tls.version": lambda of: of.asker.circumstances.tls_version or "",
    "req.claims": lambda of: dict(of.asker.principal.claims),
}
