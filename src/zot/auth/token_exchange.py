"""The token endpoint for workloads, whose clients support user name and password only.

The client sends the workload's ID token as the password and gets the same token back, verified, as a bearer token
(distribution, Token Authentication). Tokens of unknown issuers go to the upstream token endpoint, if one is configured.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from zot.auth.authenticators.workload import WorkloadAuthenticator
from zot.auth.tokens import InvalidTokenError, time_claim, unverified_claims
from zot.registry.errors import Unauthorized

_CANDIDATES_LIMIT = 10
_LIFETIME_LIMIT_S = 10**9


class IssuedToken(msgspec.Struct, frozen=True):
    """The response of the token endpoint (distribution, Token Authentication)."""

    token: str
    access_token: str
    expires_in: int
    issued_at: str


class TokenExchange:
    """Finds and verifies the workload's token among the secrets of a request."""

    def __init__(self, workloads: WorkloadAuthenticator, browser_issuers: Sequence[str] = ()) -> None:
        """Keep the issuers of workloads, and those of browser logins, whose tokens are refused."""
        self._workloads = workloads
        self._browser_issuers = frozenset(browser_issuers)

    async def exchange(self, candidates: Sequence[str]) -> IssuedToken | None:
        """Return the first candidate that is a valid token of a workload; None if none is of a configured issuer.

        Raises Unauthorized if a token of a configured issuer is invalid or of a browser login; Unavailable if the
        issuer cannot be reached.
        """
        for candidate in candidates[:_CANDIDATES_LIMIT]:
            claims = unverified_claims(candidate)
            if claims is None:
                continue
            if self._workloads.accepts(candidate):
                try:
                    principal = await self._workloads.verify(candidate)
                except InvalidTokenError as error:
                    raise Unauthorized(str(error)) from error
                return _issued_token(candidate, dict(principal.claims))
            issuer = claims.get("iss")
            if isinstance(issuer, str) and issuer in self._browser_issuers:
                raise Unauthorized("the token is of a browser login and not of a workload")
        return None

    def mismatch(self, candidates: Sequence[str]) -> str | None:
        """Return why the first candidate of a configured issuer is not for this registry; None if there is none."""
        reasons = (self._workloads.mismatch(candidate) for candidate in candidates[:_CANDIDATES_LIMIT])
        return next((reason for reason in reasons if reason is not None), None)


def issued_now(token: str, lifetime_s: int) -> IssuedToken:
    """Return the response for a token issued now."""
    return _response(token, lifetime_s, time.time())


def _response(token: str, lifetime_s: int, issued_s: float) -> IssuedToken:
    at = dt.datetime.fromtimestamp(issued_s, dt.UTC).isoformat().replace("+00:00", "Z")
    return IssuedToken(token, token, lifetime_s, at)


def _issued_token(token: str, claims: dict[str, Any]) -> IssuedToken:
    now_s = time.time()
    expires_s = time_claim(claims, "exp") or now_s
    issued_s = max(0.0, time_claim(claims, "iat") or now_s)
    return _response(token, max(0, min(int(expires_s - now_s), _LIFETIME_LIMIT_S)), issued_s)
