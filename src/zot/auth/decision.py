"""What a policy says to a request, and why."""

from __future__ import annotations

from typing import Protocol

import msgspec

from zot.auth.principal import Principal
from zot.auth.scopes import allowed
from zot.oci.names import Repository, Tag
from zot.registry.request import Action, Request, Right


class RequestContext(msgspec.Struct, frozen=True):
    """What conditions may look at besides the request: how and from where it came."""

    method: str = ""
    user_agent: str = ""
    client_ip: str = ""
    forwarded_for: tuple[str, ...] = ()
    tls_version: str | None = None


NO_CONTEXT = RequestContext()


class Grant(msgspec.Struct, frozen=True):
    """What of one right was granted: some of its actions, or none."""

    right: Right
    actions: frozenset[Action]
    rule: str
    """The place in the configuration that decided, such as `accessControl.repositories["**"].policies[0]`."""


class Decision(msgspec.Struct, frozen=True):
    """Allowed if every right has a granted action. `grants` has one entry a right, in the order of the rights."""

    allowed: bool
    grants: tuple[Grant, ...] = ()
    reason: str = ""
    """For a refusal: what would be missing, and which rule said so. For logs and `explain`: it names rules."""
    message: str = ""
    """For a refusal: what the condition that failed says to the client."""

    def granted(self, tag: Tag) -> frozenset[Action]:
        """Return the actions granted on a tag of the request."""
        return frozenset(action for grant in self.grants if grant.right.reference == tag for action in grant.actions)


class Policy(Protocol):
    """Decides on the parsed request, and on nothing else. Compiled once, safe to share, never blocks."""

    lets_anonymous_in: bool
    """Whether somebody who does not say who they are may do anything at all."""
    excepts_users: bool
    """Whether a tag that is immutable for some callers may not be for others."""
    names_users: bool
    """Whether logging in may give more than staying anonymous."""
    conditional: bool
    """Whether a decision may depend on the circumstances; if not, they need not be found out."""

    def decide(self, principal: Principal, request: Request, circumstances: RequestContext = NO_CONTEXT) -> Decision:
        """Decide whether the principal may do all that the request does."""

    def readable(
        self, principal: Principal, repository: Repository, circumstances: RequestContext = NO_CONTEXT
    ) -> bool:
        """Tell whether lists show the repository to the principal."""

    def detects_collisions(
        self, principal: Principal, repository: Repository, circumstances: RequestContext = NO_CONTEXT
    ) -> bool:
        """Tell whether deleting a digest with several tags is a conflict for this principal."""

    def immutable(self, principal: Principal, repository: Repository, tag: Tag) -> bool:
        """Tell whether the tag, once it is there, may neither be moved nor deleted by the principal."""

    def is_admin(self, principal: Principal) -> bool:
        """Tell whether the principal may use what is for administrators alone."""

    def reads_metrics(self, principal: Principal) -> bool:
        """Tell whether the principal may read the metrics."""


class AllowAll:
    """The policy of a registry without access control: whoever was let in may do everything.

    A token server's tokens and scoped API keys are still held to their scopes.
    """

    lets_anonymous_in = False
    excepts_users = False
    names_users = True
    conditional = False

    def decide(self, principal: Principal, request: Request, circumstances: RequestContext = NO_CONTEXT) -> Decision:  # noqa: ARG002
        """Grant every right that the scopes of the credentials do not leave out."""
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
        circumstances: RequestContext = NO_CONTEXT,  # noqa: ARG002
    ) -> bool:
        """Show every repository that the scopes of the credentials do not leave out."""
        return bool(_within_scopes(principal, Right((Action.READ,), repository)).actions)

    def detects_collisions(
        self,
        principal: Principal,  # noqa: ARG002
        repository: Repository,  # noqa: ARG002
        circumstances: RequestContext = NO_CONTEXT,  # noqa: ARG002
    ) -> bool:
        """Never: it is asked for by an action that nobody was given."""
        return False

    def immutable(self, principal: Principal, repository: Repository, tag: Tag) -> bool:  # noqa: ARG002
        """Nothing is."""
        return False

    def is_admin(self, principal: Principal) -> bool:
        """Everybody is, but with credentials that are limited."""
        return not principal.limited

    def reads_metrics(self, principal: Principal) -> bool:
        """Everybody does, but with credentials that are limited."""
        return not principal.limited


def _within_scopes(principal: Principal, right: Right) -> Grant:
    scopes = principal.scopes
    if scopes is None:
        return Grant(right, frozenset(right.actions), "no accessControl")
    actions = frozenset(action for action in right.actions if allowed(scopes, action, right.repository))
    return Grant(right, actions, "the scopes of the credentials")
