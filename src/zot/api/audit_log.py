"""The audit log: who did what, from where, and who was not let. Zot's fields, and what the request meant."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from aiohttp import BasicAuth, web

from zot.api.call import PRINCIPAL, REQUEST
from zot.api.client_address import ClientAddresses
from zot.api.request_id import request_id
from zot.auth.principal import ANONYMOUS, Principal
from zot.logs.fields import fields
from zot.logs.masking import masked_query
from zot.logs.setup import AUDIT
from zot.registry.request import Ping, Request

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

    def observe(self, http: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        """Write the line of an answered request, if it is one for the audit log."""
        del seconds
        denied = response.status in _DENIED
        if not denied and http.method not in _CHANGING:
            return
        request: Request | None = http.get(REQUEST)
        if isinstance(request, Ping) and "Authorization" not in http.headers:
            # Every client begins like this, to be told how to log in.
            return
        principal: Principal = http.get(PRINCIPAL, ANONYMOUS)
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
            "requestId": request_id(http),
        }
        if request is not None:
            line |= {"operation": request.operation, **msgspec.structs.asdict(request)}
        _audit.info("HTTP API Audit", extra=fields(**{name: value for name, value in line.items() if value}))


def _claimed(http: web.BaseRequest) -> str:
    """Return the name that somebody gave whose password was not accepted."""
    try:
        credentials = BasicAuth.decode(http.headers.get("Authorization", ""))
    except ValueError:
        return ""
    return str(credentials.login)[:_NAME_LIMIT]
