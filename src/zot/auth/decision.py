"""What a policy says to a request, and why."""

from __future__ import annotations

from typing import Protocol

import msgspec

from zot.auth.principal import Principal
from zot.oci.names import Repository, Tag
from zot.registry.request import Action, Request, Right


class Circumstances(msgspec.Struct, frozen=True):
    """What conditions may look at besides the request: how and from where it came."""

    method: str = ""
    user_agent: str = ""
    client_ip: str = ""
    forwarded_for: tuple[str, ...] = ()
    tls_version: str | None = None


NOWHERE = Circumstances()


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
    """For a refusal: what would be missing, or the message of the condition that failed."""

    def granted(self, tag: Tag) -> frozenset[Action]:
        """Return the actions granted on a tag of the request."""
        return frozenset(action for grant in self.grants if grant.right.reference == tag for action in grant.actions)


class Policy(Protocol):
    """Decides on the parsed request, and on nothing else. Compiled once, safe to share, never blocks."""

    def decide(self, principal: Principal, request: Request, circumstances: Circumstances = NOWHERE) -> Decision:
        """Decide whether the principal may do all that the request does."""

    def readable(self, principal: Principal, repository: Repository) -> bool:
        """Tell whether lists show the repository to the principal."""

    def detects_collisions(self, principal: Principal, repository: Repository) -> bool:
        """Tell whether deleting a digest with several tags is a conflict for this principal."""

    def immutable(self, principal: Principal, repository: Repository, tag: Tag) -> bool:
        """Tell whether the tag, once it is there, may neither be moved nor deleted by the principal."""


class AllowAll:
    """The policy of a registry without access control: whoever was let in may do everything."""

    def decide(self, principal: Principal, request: Request, circumstances: Circumstances = NOWHERE) -> Decision:  # noqa: ARG002
        """Grant every right."""
        return Decision(
            allowed=True,
            grants=tuple(Grant(right, frozenset(right.actions), "no accessControl") for right in request.rights()),
        )

    def readable(self, principal: Principal, repository: Repository) -> bool:  # noqa: ARG002
        """Show every repository."""
        return True

    def detects_collisions(self, principal: Principal, repository: Repository) -> bool:  # noqa: ARG002
        """Never: it is asked for by an action that nobody was given."""
        return False

    def immutable(self, principal: Principal, repository: Repository, tag: Tag) -> bool:  # noqa: ARG002
        """Nothing is."""
        return False
