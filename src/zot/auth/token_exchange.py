"""Tokens for clients that only know a user name and a password (distribution, Token Authentication).

The password is the workload's ID token; what comes back is that token, verified, for the client to bear. What belongs
to no issuer of this registry goes to the token endpoint upstream, if there is one.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from zot.auth.authenticators.workload import WorkloadAuthenticator
from zot.auth.tokens import InvalidTokenError, seconds, unverified_claims
from zot.registry.errors import Unauthorized

_CANDIDATES_LIMIT = 10
_LIFETIME_LIMIT_S = 10**9


class IssuedToken(msgspec.Struct, frozen=True):
    """A token for the client."""

    token: str
    access_token: str
    expires_in: int
    issued_at: str


class TokenExchange:
    """Decides which of a client's secrets is a workload's token."""

    def __init__(self, workloads: WorkloadAuthenticator, browser_issuers: Sequence[str] = ()) -> None:
        """Take the issuers of workloads, and those of logins in the browser, whose tokens are refused here."""
        self._workloads = workloads
        self._browser_issuers = frozenset(browser_issuers)

    async def exchange(self, candidates: Sequence[str]) -> IssuedToken | None:
        """Return the first candidate that is a valid token of a workload; None if none of them is for us to judge.

        Raises Unauthorized if one of them says that it is of an issuer of ours and is not valid, or if it is of a
        login in the browser; Unavailable if its issuer cannot be asked.
        """
        for candidate in candidates[:_CANDIDATES_LIMIT]:
            claims = unverified_claims(candidate)
            if claims is None:
                continue
            if self._workloads.concern(candidate):
                try:
                    principal = await self._workloads.verify(candidate)
                except InvalidTokenError as error:
                    raise Unauthorized(str(error)) from error
                return _issued(candidate, dict(principal.claims))
            issuer = claims.get("iss")
            if isinstance(issuer, str) and issuer in self._browser_issuers:
                raise Unauthorized("the token is of a login in the browser, and no workload's")
        return None

    def mismatch(self, candidates: Sequence[str]) -> str | None:
        """Return why the first candidate of a known issuer is not for this registry; None if there is none."""
        found = (self._workloads.mismatch(candidate) for candidate in candidates[:_CANDIDATES_LIMIT])
        return next((reason for reason in found if reason is not None), None)


def issued_now(token: str, lifetime_s: int) -> IssuedToken:
    """Return the answer for a token that was just made."""
    return _answer(token, lifetime_s, time.time())


def _answer(token: str, lifetime_s: int, issued_s: float) -> IssuedToken:
    at = dt.datetime.fromtimestamp(issued_s, dt.UTC).isoformat().replace("+00:00", "Z")
    return IssuedToken(token, token, lifetime_s, at)


def _issued(token: str, claims: dict[str, Any]) -> IssuedToken:
    now_s = time.time()
    expires_s = seconds(claims, "exp") or now_s
    issued_s = max(0.0, seconds(claims, "iat") or now_s)
    return _answer(token, max(0, min(int(expires_s - now_s), _LIFETIME_LIMIT_S)), issued_s)
