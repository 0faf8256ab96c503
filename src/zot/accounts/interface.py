"""The interface of accounts: data of users that cannot be rebuilt from the content.

Changes are durable when the call returns. A driver that cannot be reached raises AccountsUnavailableError; the change
may have happened, and may be retried. Lists come in byte order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from zot.oci.names import Repository


class AccountsUnavailableError(Exception):
    """The accounts cannot be reached now."""


class User(msgspec.Struct, frozen=True):
    """A user who has logged in, or a service account."""

    name: str
    groups: tuple[str, ...] = ()
    """The groups of the last login, which API keys have, too. An administrator sets those of a service account."""
    service: bool = False
    """Whether it is a service account: a machine, which can use API keys only."""
    origin: str = ""
    """The method of the last login (`Principal.method`), which must still know the user; empty: unknown."""


class ApiKey(msgspec.Struct, frozen=True):
    """An API key, without the key itself."""

    id: str
    owner: str
    hash: str
    """SHA-256 of the secret part, in hexadecimal: the lookup key."""
    label: str = ""
    scopes: tuple[str, ...] = ()
    """The scopes that limit the key (see `zot.auth.scopes`); empty: no limit."""
    created_s: float = 0.0
    """Seconds since the epoch, as all times here."""
    expires_s: float | None = None
    last_used_s: float | None = None
    """Accurate to a minute."""
    creator_agent: str = ""
    """The User-Agent of the request that created the key."""


class KeyedUser(msgspec.Struct, frozen=True):
    """An API key with its owner."""

    key: ApiKey
    user: User


class Accounts(Protocol):
    """Users, their API keys, stars and bookmarks."""

    async def record_login(self, name: str, groups: Sequence[str], origin: str = "") -> None:
        """Create the user if there is none, and replace groups and origin.

        An empty origin keeps the stored one. Does not change a service account. Idempotent.
        """

    async def user(self, name: str) -> User | None:
        """Return the user, None if there is none."""

    async def users(self, after: str, limit: int) -> Sequence[User]:
        """Return users with names greater than `after`."""

    async def create_service(self, name: str, groups: Sequence[str]) -> bool:
        """Create a service account or replace its groups; return False if a user has the name. Idempotent."""

    async def delete_user(self, name: str) -> bool:
        """Delete a user with keys, stars and bookmarks; return False if there was none."""

    async def add_key(self, key: ApiKey) -> None:
        """Add a key, and create its owner if there is none."""

    async def key(self, hashed: str) -> KeyedUser | None:
        """Return the key of this hash with its owner, None if there is none. Cheap enough for the event loop.

        Raises AccountsUnavailableError while the key may still be imported from another program's store.
        """

    async def keys(self, owner: str) -> Sequence[ApiKey]:
        """Return the keys of a user, oldest first."""

    async def delete_key(self, owner: str, key_id: str) -> bool:
        """Delete a key of the user; return False if the user has no key with this id."""

    async def key_used(self, hashed: str, when_s: float) -> None:
        """Record the last use of a key; without such a key, do nothing. A crash may lose it."""

    async def toggle_star(self, name: str, repository: Repository) -> bool:
        """Set or remove the user's star of the repository; return whether it is set now."""

    async def toggle_bookmark(self, name: str, repository: Repository) -> bool:
        """Set or remove the user's bookmark of the repository; return whether it is set now."""

    async def starred(self, name: str) -> Sequence[Repository]:
        """Return the repositories that the user has starred."""

    async def bookmarked(self, name: str) -> Sequence[Repository]:
        """Return the repositories that the user has bookmarked."""

    async def stars(self, repository: Repository) -> int:
        """Return the number of users who have starred the repository."""

    async def star_counts(self) -> Mapping[Repository, int]:
        """Return the number of users who have starred each repository that has a star."""

    async def close(self) -> None:
        """Close the store after the changes that have begun."""


def login_changes(known: User | None, groups: Sequence[str], origin: str) -> bool:
    """Tell whether `record_login` of a user changes what is known of it: most logins do not."""
    if known is None:
        return True
    return not known.service and (known.groups != tuple(sorted(groups)) or origin not in ("", known.origin))
