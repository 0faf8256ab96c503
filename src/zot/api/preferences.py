"""Sets and removes the stars and bookmarks of users, for the API and for pages."""

from __future__ import annotations

from enum import StrEnum

from zot.accounts.interface import Accounts, AccountsUnavailableError
from zot.auth.decision import NO_CONTEXT, Policy, RequestContext
from zot.auth.principal import Principal
from zot.oci.names import Repository
from zot.registry.errors import Denied, NameUnknown, Unavailable
from zot.registry.registry import Registry


class Preference(StrEnum):
    """What a user may set on a repository."""

    STAR = "star"
    BOOKMARK = "bookmark"


class RepositoryHidden(Denied):
    """The user may not read the repository, if there is one."""


class Preferences:
    """The stars and bookmarks that users set on the repositories of one registry."""

    def __init__(self, accounts: Accounts | None, registry: Registry, policy: Policy) -> None:
        """`accounts` is None if there are no users."""
        self._accounts = accounts
        self._registry = registry
        self._policy = policy

    async def toggle(
        self, principal: Principal, preference: Preference, repository: Repository, context: RequestContext = NO_CONTEXT
    ) -> None:
        """Set what is not set, or remove it. It is durable when the call returns.

        Raises Denied, RepositoryHidden, NameUnknown, and Unavailable if the accounts cannot be reached.
        """
        if self._accounts is None or not principal.is_full_user:
            raise Denied("stars and bookmarks belong to users: log in with a password, in a browser or by an API key")
        # Before the look whether it is there: a caller that may not read cannot tell.
        if not self._policy.readable(principal, repository, context):
            raise RepositoryHidden("reading the repository is not allowed", name=repository)
        if not await self._registry.exists(repository):
            raise NameUnknown(name=repository)
        change = self._accounts.toggle_star if preference is Preference.STAR else self._accounts.toggle_bookmark
        try:
            await change(principal.name, repository)
        except AccountsUnavailableError as error:
            raise Unavailable("the accounts cannot be reached") from error
