"""The audit log: one line for each mutating or denied request, in zot's fields and some more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import BasicAuth, web

from zot.api.client_address import ClientAddresses
from zot.api.completed_requests import CompletedRequest
from zot.api.http_request import HttpRequest
from zot.auth.principal import ANONYMOUS
from zot.logs.fields import fields
from zot.logs.masking import masked_query
from zot.logs.setup import AUDIT
from zot.registry.request import Ping

_audit = logging.getLogger(AUDIT)

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_DENIED = frozenset({401, 403})
_TARGET_LIMIT = 2048
_NAME_LIMIT = 256


class AuditLog:
    """Writes a line for each mutating request, and for each denied one.

    Other actions, such as deletions by garbage collection, are logged to `zot.audit` where they happen.
    """

    def __init__(self, addresses: ClientAddresses) -> None:
        """Write clients' addresses as `addresses` sees them."""
        self._addresses = addresses

    def observe(self, completed: Sequence[CompletedRequest]) -> None:
        """Write the lines of those requests that the audit log has."""
        for each in completed:
            self._observe(each.http, each.response)

    def _observe(self, http: HttpRequest, response: web.StreamResponse) -> None:
        denied = response.status in _DENIED
        if not denied and http.method not in _CHANGING:
            return
        request = http.request
        if isinstance(request, Ping) and "Authorization" not in http.headers:
            # Every client begins with this request, to learn how to log in.
            return
        principal = http.principal or ANONYMOUS
        line: dict[str, Any] = {
            "component": "session",
            "clientIP": str(self._addresses.of(http)),
            "subject": principal.name or "anonymous",
            "action": http.method,
            "object": masked_query(http.raw_path[:_TARGET_LIMIT]),
            "status": response.status,
            "result": "denied" if denied else "done" if response.status < 400 else "failed",
            "identifiedBy": principal.method,
            "claimed": _claimed(http) if denied and not principal.authenticated else "",
            "requestId": http.request_id,
        }
        if request is not None:
            line |= {"operation": request.operation, **msgspec.structs.asdict(request)}
        _audit.info("HTTP API Audit", extra=fields(**{name: value for name, value in line.items() if value}))


def _claimed(http: HttpRequest) -> str:
    """Return the user name of credentials that were not accepted."""
    try:
        credentials = BasicAuth.decode(http.headers.get("Authorization", ""))
    except ValueError:
        return ""
    return str(credentials.login)[:_NAME_LIMIT]
