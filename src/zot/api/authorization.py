"""Authorization: every request of the distribution API passes here before it is handled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, Protocol, TypeVar

from zot.api.errors import ErrorResponse
from zot.api.http_request import HttpRequest
from zot.auth.decision import NO_CONTEXT, AllowAll, Decision, Policy, RequestContext
from zot.auth.principal import ANONYMOUS, Principal
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.errors import Denied, ManifestUnknown, NameUnknown, NotGranted, TagImmutable, Unauthorized
from zot.registry.request import ListRepositories, ListTags, PullBlob, PullManifest, Request, UseExtension

_log = logging.getLogger("zot.api")

# Decisions on reading; without conditions a policy always decides the same.
_REMEMBERED = 4096


AnyRequest = TypeVar("AnyRequest", bound=Request)
AnyRequest_co = TypeVar("AnyRequest_co", bound=Request, covariant=True)


class Call(NamedTuple, Generic[AnyRequest_co]):
    """A request that may be handled: what was sent, what it means, who sent it, and what was decided."""

    http: HttpRequest
    request: AnyRequest_co
    principal: Principal
    decision: Decision
    context: RequestContext = NO_CONTEXT
    """How and from where the request came: for further decisions while it is handled."""


def may_pull(policy: Policy, call: Call[Request], repository: Repository, digest: Digest) -> bool:
    """Return whether the sender of a call may pull a blob of any repository: knowing a digest is no right to it."""
    return policy.decide(call.principal, PullBlob(repository=repository, digest=digest), call.context).allowed


class Authenticator(Protocol):
    """Authenticates requests, by the configured methods."""

    has_passwords: bool
    """Whether browsers can log in (zot's basic-type authentication)."""

    async def principal(self, http: HttpRequest, request: Request) -> Principal:
        """Return the principal, ANONYMOUS if that is enough here. Raises ErrorResponse with a challenge otherwise."""

    @property
    def can_authenticate(self) -> bool:
        """Whether a client can log in at all: where none can, a refusal is final."""

    def challenge(self, http: HttpRequest, request: Request, error: str = "") -> Mapping[str, str]:
        """Return the headers that tell a client how to authenticate; `error` is what is wrong with its token."""

    def address(self, http: HttpRequest) -> str:
        """Return the client's address, behind trusted proxies too; empty if it is not known."""

    def must_challenge_early(self, http: HttpRequest) -> bool:
        """Whether a client that looks for a manifest that is not there should get a token before it pushes one."""

    async def refused(self, http: HttpRequest, principal: Principal) -> None:
        """Count a refusal, to slow down clients that guess."""


class NoAuthentication:
    """Takes every client for anonymous."""

    has_passwords = False
    can_authenticate = False

    async def principal(self, http: HttpRequest, request: Request) -> Principal:  # noqa: ARG002
        """Return the anonymous principal."""
        return ANONYMOUS

    def challenge(self, http: HttpRequest, request: Request, error: str = "") -> Mapping[str, str]:  # noqa: ARG002
        """Return no headers: there is no way to log in."""
        return {}

    def must_challenge_early(self, http: HttpRequest) -> bool:  # noqa: ARG002
        """Return False: there are no tokens."""
        return False

    def address(self, http: HttpRequest) -> str:
        """Return the peer's address: no rule uses it without authentication."""
        return http.remote or ""

    async def refused(self, http: HttpRequest, principal: Principal) -> None:
        """Count nothing: there is no password to guess."""


class Authorizer:
    """Authentication, then the policy, on the parsed request."""

    def __init__(self, authenticator: Authenticator | None = None, policy: Policy | None = None) -> None:
        """Use both; None: every client is anonymous, and may do everything."""
        self.authenticator = authenticator or NoAuthentication()
        self.policy = policy or AllowAll()
        self._reading = lru_cache(maxsize=_REMEMBERED)(self._decide_on_reading)

    async def authorize(self, http: HttpRequest, request: AnyRequest) -> Call[AnyRequest]:
        """Return the call if it may be made. Raises ErrorResponse (401 with a challenge, 403 with the reason)."""
        principal = http.principal = await self.authenticator.principal(http, request)
        return await self._admitted(http, request, principal)

    async def authorize_each(self, http: HttpRequest, requests: Sequence[AnyRequest]) -> list[Call[AnyRequest]]:
        """Return the calls of one or more requests that one HTTP request stands for; its sender is authenticated once.

        Raises ErrorResponse for the first that may not be made.
        """
        principal = http.principal = await self.authenticator.principal(http, requests[0])
        return [await self._admitted(http, each, principal) for each in requests]

    async def _admitted(self, http: HttpRequest, request: AnyRequest, principal: Principal) -> Call[AnyRequest]:
        context = self._context(http) if self.policy.conditional else NO_CONTEXT
        if principal.lists_catalog and principal.token_owner is not None and isinstance(request, ListRepositories):
            principal = principal.token_owner
        decision = self._decide(request, principal, context)
        if not decision.allowed:
            raise await self._refusal(http, request, principal, decision, context)
        return Call(http, request, principal, decision, context)

    def _decide(self, request: Request, principal: Principal, context: RequestContext) -> Decision:
        if self.policy.conditional:
            return self.policy.decide(principal, request, context)
        if principal.scopes is None and isinstance(request, PullManifest | PullBlob):
            return self._reading(principal.name, principal.method, principal.groups, request.repository)
        return self.policy.decide(principal, request)

    def _decide_on_reading(self, name: str, method: str, groups: frozenset[str], repository: Repository) -> Decision:
        """Decide on reading anything of a repository: without conditions neither claims nor reference count."""
        return self.policy.decide(Principal(name, method, groups), ListTags(repository=repository))

    async def enter(self, http: HttpRequest, request: UseExtension, may: Callable[[Principal], bool]) -> Principal:
        """Return the principal that uses an extension, if it may. Raises ErrorResponse, as `authorize`."""
        http.request = request
        principal = await self.authenticator.principal(http, request)
        http.principal = principal
        if self.policy.conditional:
            http.context = self._context(http)
        if not may(principal):
            refused = Decision(allowed=False, reason=f"{request.name} is not for {principal.name!r}")
            raise await self._refusal(http, request, principal, refused)
        return principal

    async def _refusal(
        self,
        http: HttpRequest,
        request: Request,
        principal: Principal,
        decision: Decision,
        context: RequestContext = NO_CONTEXT,
    ) -> ErrorResponse:
        await self.authenticator.refused(http, principal)
        # The missing right and the deciding rule are for the operator; the client sees a condition's message only.
        _log.info("denied: %s", decision.reason)
        token_owner = principal.token_owner
        if token_owner is not None and request.rights() and self._decide(request, token_owner, context).allowed:
            # A token of another scope would do: the challenge names it.
            return ErrorResponse(Unauthorized(), self.authenticator.challenge(http, request, "insufficient_scope"))
        headers = self.authenticator.challenge(http, request)
        if self._may_authenticate(principal) or principal.authorized_elsewhere:
            return ErrorResponse(Unauthorized(), headers)
        return ErrorResponse(
            Denied(decision.message, **({"reason": decision.message} if decision.message else {})), headers
        )

    def _may_authenticate(self, principal: Principal) -> bool:
        return not principal.authenticated and self.authenticator.can_authenticate

    def challenged(self, call: Call[Request], error: NotGranted) -> Exception:
        """Return what to raise for a refusal while a call is handled: a challenge if a login could change it."""
        if not self._may_authenticate(call.principal):
            return error
        if isinstance(error, TagImmutable) and not self.policy.exempts_users:
            return error
        return ErrorResponse(
            Unauthorized(str(error), **error.detail), self.authenticator.challenge(call.http, call.request)
        )

    def unknown(self, call: Call[Request], error: ManifestUnknown | NameUnknown) -> Exception:
        """Return what to raise for a missing manifest: a challenge to a client that is about to push it."""
        looks = isinstance(call.request, PullManifest) and call.request.head
        if not looks or not self.authenticator.must_challenge_early(call.http):
            return error
        return ErrorResponse(Unauthorized(), self.authenticator.challenge(call.http, call.request))

    def _context(self, http: HttpRequest) -> RequestContext:
        """Return what conditions may look at besides the request."""
        headers = http.headers
        transport = http.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        chain = ",".join(headers.getall("X-Forwarded-For", ()))
        return RequestContext(
            method=http.method,
            user_agent=headers.get("User-Agent", ""),
            client_ip=self.authenticator.address(http),
            forwarded_for=tuple(each.strip() for each in chain.split(",")) if chain else (),
            tls_version=tls.version() if tls is not None else None,
        )
