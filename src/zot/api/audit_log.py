"""The audit log: who did what, from where, and who was not let. Zot's fields, and what the request meant."""

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
    """Writes a line for each request that was meant to change something, and for each that was denied.

    What else is to be audited, such as what collection removes, its doer logs to the logger `zot.audit`.
    """

    def __init__(self, addresses: ClientAddresses) -> None:
        """Take who knows clients' addresses."""
        self._addresses = addresses

    def observe(self, answered: Sequence[CompletedRequest]) -> None:
        """Write the lines of answered requests, of those that are for the audit log."""
        for each in answered:
            self._observe(each.http, each.response)

    def _observe(self, http: HttpRequest, response: web.StreamResponse) -> None:
        denied = response.status in _DENIED
        if not denied and http.method not in _CHANGING:
            return
        request = http.request
        if isinstance(request, Ping) and "Authorization" not in http.headers:
            # Every client begins like this, to be told how to log in.
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
    """Return the name that somebody gave whose password was not accepted."""
    try:
        credentials = BasicAuth.decode(http.headers.get("Authorization", ""))
    except ValueError:
        return ""
    return str(credentials.login)[:_NAME_LIMIT]
