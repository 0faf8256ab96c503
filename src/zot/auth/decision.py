"""Authorization: the interface of policies, and their decisions with the reasons."""

from __future__ import annotations

from typing import Protocol

import msgspec

from zot.auth.principal import Principal
from zot.auth.scopes import allowed
from zot.oci.names import Repository, Tag
from zot.registry.request import Action, Request, Right


class RequestContext(msgspec.Struct, frozen=True):
    """The HTTP side of a request, for conditions: method, agent, address, TLS."""

    method: str = ""
    user_agent: str = ""
    client_ip: str = ""
    forwarded_for: tuple[str, ...] = ()
    tls_version: str | None = None


NO_CONTEXT = RequestContext()


class Grant(msgspec.Struct, frozen=True):
    """The actions of one right that were granted: some of them, or none."""

    right: Right
    actions: frozenset[Action]
    rule: str
    """The configuration key that decided, such as `accessControl.repositories["**"].policies[0]`."""


class Decision(msgspec.Struct, frozen=True):
    """The decision on a request, which is allowed if every right has a granted action.

    `grants` has one entry for each right, in the order of the rights.
    """

    allowed: bool
    grants: tuple[Grant, ...] = ()
    reason: str = ""
    """For a denial: the missing action and the rule. It names rules, so it is for logs and `explain` only."""
    message: str = ""
    """For a denial: the message of the failed condition, for the client."""

    def granted(self, tag: Tag) -> frozenset[Action]:
        """Return the actions granted on a tag of the request."""
        return frozenset(action for grant in self.grants if grant.right.reference == tag for action in grant.actions)


class Policy(Protocol):
    """Decides on parsed requests. Compiled once, safe to share between threads, never blocks."""

    allows_anonymous: bool
    """Whether an anonymous client may do anything at all."""
    exempts_users: bool
    """Whether a tag that is immutable for some principals may be mutable for others."""
    names_users: bool
    """Whether a user who logs in may get more rights than an anonymous client."""
    conditional: bool
    """Whether a decision may depend on the context; if not, callers need not collect it."""
    timed: bool
    """Whether a decision may depend on the time; if not, it holds as long as the policy and the context do."""

    def decide(self, principal: Principal, request: Request, context: RequestContext = NO_CONTEXT) -> Decision:
        """Decide whether the principal may do everything that the request does."""

    def readable(self, principal: Principal, repository: Repository, context: RequestContext = NO_CONTEXT) -> bool:
        """Tell whether listings show the repository to the principal."""

    def detects_collisions(
        self, principal: Principal, repository: Repository, context: RequestContext = NO_CONTEXT
    ) -> bool:
        """Tell whether deleting a digest with several tags is a conflict for this principal."""

    def immutable(self, principal: Principal, repository: Repository, tag: Tag) -> bool:
        """Tell whether the principal may neither move nor delete an existing tag."""

    def reads_everything(self, principal: Principal) -> bool:
        """Tell whether the principal may read every repository, whatever its name; False may be wrong."""

    def is_admin(self, principal: Principal) -> bool:
        """Tell whether the principal is an administrator."""

    def reads_metrics(self, principal: Principal) -> bool:
        """Tell whether the principal may read the metrics."""


class AllowAll:
    """The policy of a registry without access control: an authenticated client may do everything.

    Tokens of a token server and scoped API keys are still limited to their scopes.
    """

    allows_anonymous = False
    exempts_users = False
    names_users = True
    conditional = False
    timed = False

    def decide(self, principal: Principal, request: Request, context: RequestContext = NO_CONTEXT) -> Decision:  # noqa: ARG002
        """Grant every right within the scopes of the credentials."""
        grants = tuple(_within_scopes(principal, right) for right in request.rights())
        missing = next((grant for grant in grants if not grant.actions), None)
        if missing is None:
            return Decision(allowed=True, grants=grants)
        needed = " or ".join(missing.right.actions)
        return Decision(
            allowed=False,
            grants=grants,
            reason=f"{principal.name!r} needs {needed} on {missing.right.repository}; {missing.rule}",
        )

    def readable(
        self,
        principal: Principal,
        repository: Repository,
        context: RequestContext = NO_CONTEXT,  # noqa: ARG002
    ) -> bool:
        """Show every repository within the scopes of the credentials."""
        return bool(_within_scopes(principal, Right((Action.READ,), repository)).actions)

    def detects_collisions(
        self,
        principal: Principal,  # noqa: ARG002
        repository: Repository,  # noqa: ARG002
        context: RequestContext = NO_CONTEXT,  # noqa: ARG002
    ) -> bool:
        """Return False: only an action of access control asks for it."""
        return False

    def immutable(self, principal: Principal, repository: Repository, tag: Tag) -> bool:  # noqa: ARG002
        """Return False: no tag is immutable."""
        return False

    def reads_everything(self, principal: Principal) -> bool:
        """Return True unless the credentials are limited."""
        return not principal.limited

    def is_admin(self, principal: Principal) -> bool:
        """Return True unless the credentials are limited."""
        return not principal.limited

    def reads_metrics(self, principal: Principal) -> bool:
        """Return True unless the credentials are limited."""
        return not principal.limited


def _within_scopes(principal: Principal, right: Right) -> Grant:
    scopes = principal.scopes
    if scopes is None:
        return Grant(right, frozenset(right.actions), "no accessControl")
    actions = frozenset(action for action in right.actions if allowed(scopes, action, right.repository))
    return Grant(right, actions, "the scopes of the credentials")
