"""What conditions of access control see of a request, by their names in CEL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from zot.auth.decision import Circumstances
from zot.auth.principal import Principal
from zot.registry.request import Action, Right


def facts(
    principal: Principal, groups: Sequence[str], circumstances: Circumstances, *, is_admin: bool
) -> dict[str, Any]:
    """Return all names but those that differ between the rights of one request."""
    return {
        "req.time": dt.datetime.now(dt.UTC),
        "req.method": circumstances.method,
        "req.userAgent": circumstances.user_agent,
        "req.user.username": principal.name,
        "req.user.groups": groups,
        "req.auth.anonymous": not principal.authenticated,
        "req.auth.admin": is_admin,
        "req.client.ip": circumstances.client_ip,
        "req.client.forwardedFor": list(circumstances.forwarded_for),
        "req.tls.enabled": circumstances.tls_version is not None,
        "req.tls.version": circumstances.tls_version or "",
        "req.claims": dict(principal.claims),
    }


def facts_of_right(right: Right, action: Action) -> dict[str, Any]:
    """Return the names that differ between the rights of one request, and the actions of one right."""
    reference = right.reference or ""
    is_digest = ":" in reference
    return {
        "req.action": action.value,
        "req.repository": right.repository,
        "req.reference": reference,
        "req.referenceType": "" if not reference else "digest" if is_digest else "tag",
        "req.tag": "" if is_digest else reference,
        "req.digest": reference if is_digest else "",
    }
