"""What is known about users beyond how they log in. None of it can be rebuilt from the content.

Changes are durable when the call returns. A driver that cannot be reached raises AccountsUnavailableError; what was
asked for may have happened then, and may be asked for again. Lists come in byte order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from zot.oci.names import Repository


class AccountsUnavailableError(Exception):
    """The accounts cannot be reached now."""


class User(msgspec.Struct, frozen=True):
    """Somebody who logged in once, or an account for a machine."""

    name: str
    groups: tuple[str, ...] = ()
    """Those of the last login: an API key has them until the next one. A service account's are given to it."""
    service: bool = False
    """A machine: it has API keys and no other way in."""
    origin: str = ""
    """The method of the last login (`Principal.method`), which has to know the user still; empty: not known."""


class ApiKey(msgspec.Struct, frozen=True):
    """An API key, without the key itself."""

    id: str
    owner: str
    hash: str
    """SHA-256 of the secret part, in hexadecimal: what a key is found by."""
    label: str = ""
    scopes: tuple[str, ...] = ()
    """What it is limited to, see `zot.auth.scopes`; none: whatever its owner may do."""
    created_s: float = 0.0
    """Seconds since the epoch, as all times here."""
    expires_s: float | None = None
    last_used_s: float | None = None
    """As of a minute ago."""
    creator_agent: str = ""
    """The User-Agent that asked for it."""


class KeyedUser(msgspec.Struct, frozen=True):
    """An API key with its owner."""

    key: ApiKey
    user: User


class Accounts(Protocol):
    """Users, their API keys, stars and bookmarks."""

    async def record_login(self, name: str, groups: Sequence[str], origin: str = "") -> None:
        """Make the user if there is none, and replace groups and origin; an empty origin leaves the one that is known.

        Changes nothing about a service account. Idempotent.
        """

    async def user(self, name: str) -> User | None:
        """Return the user, None if there is none."""

    async def users(self, after: str, limit: int) -> Sequence[User]:
        """Return users with names greater than `after`."""

    async def create_service(self, name: str, groups: Sequence[str]) -> bool:
        """Make a service account, or give the one there is other groups; False if a user has the name."""

    async def delete_user(self, name: str) -> bool:
        """Remove a user with all they have: keys, stars, bookmarks; False if there was none."""

    async def add_key(self, key: ApiKey) -> None:
        """Add a key, its owner with it if they are not known yet."""

    async def key(self, hashed: str) -> KeyedUser | None:
        """Return the key of this hash with its owner, None if there is none. Cheap enough for the event loop.

        Raises AccountsUnavailableError while the key may still be imported from another program's store.
        """

    async def keys(self, owner: str) -> Sequence[ApiKey]:
        """Return the keys of a user, oldest first."""

    async def delete_key(self, owner: str, key_id: str) -> bool:
        """Remove a key of the user; False if they have none of this id."""

    async def key_used(self, hashed: str, when_s: float) -> None:
        """Note that a key was used; no harm if there is none. May be lost in a crash."""

    async def toggle_star(self, name: str, repository: Repository) -> bool:
        """Turn the user's star of the repository on or off; True if it is on now."""

    async def toggle_bookmark(self, name: str, repository: Repository) -> bool:
        """Turn the user's bookmark of the repository on or off; True if it is on now."""

    async def starred(self, name: str) -> Sequence[Repository]:
        """Return the repositories that the user has starred."""

    async def bookmarked(self, name: str) -> Sequence[Repository]:
        """Return the repositories that the user has bookmarked."""

    async def stars(self, repository: Repository) -> int:
        """Return how many users have starred the repository."""

    async def close(self) -> None:
        """Finish what was begun and let go of everything."""
