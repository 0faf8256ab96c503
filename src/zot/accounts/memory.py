"""Accounts in memory, which end with the process: for tests, and for registries in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from zot.accounts.interface import ApiKey, KeyedUser, User
from zot.oci.names import Repository


class MemoryAccounts:
    """`Accounts` in memory."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._keys: dict[str, ApiKey] = {}
        self._stars: set[tuple[str, Repository]] = set()
        self._bookmarks: set[tuple[str, Repository]] = set()

    async def record_login(self, name: str, groups: Sequence[str], origin: str = "") -> None:
        """See `Accounts`."""
        known = self._users.get(name)
        if known is None or not known.service:
            self._users[name] = User(name, tuple(sorted(groups)), origin=origin or (known.origin if known else ""))

    async def user(self, name: str) -> User | None:
        """See `Accounts`."""
        return self._users.get(name)

    async def users(self, after: str, limit: int) -> Sequence[User]:
        """See `Accounts`."""
        return [self._users[name] for name in sorted(self._users) if name > after][:limit]

    async def create_service(self, name: str, groups: Sequence[str]) -> bool:
        """See `Accounts`."""
        known = self._users.get(name)
        if known is not None and not known.service:
            return False
        self._users[name] = User(name, tuple(sorted(groups)), service=True)
        return True

    async def delete_user(self, name: str) -> bool:
        """See `Accounts`."""
        self._keys = {hashed: key for hashed, key in self._keys.items() if key.owner != name}
        self._stars = {star for star in self._stars if star[0] != name}
        self._bookmarks = {bookmark for bookmark in self._bookmarks if bookmark[0] != name}
        return self._users.pop(name, None) is not None

    async def add_key(self, key: ApiKey) -> None:
        """See `Accounts`."""
        self._users.setdefault(key.owner, User(key.owner))
        self._keys[key.hash] = key

    async def key(self, hashed: str) -> KeyedUser | None:
        """See `Accounts`."""
        key = self._keys.get(hashed)
        return KeyedUser(key, self._users[key.owner]) if key is not None else None

    async def keys(self, owner: str) -> Sequence[ApiKey]:
        """See `Accounts`."""
        keys = (key for key in self._keys.values() if key.owner == owner)
        return sorted(keys, key=lambda key: (key.created_s, key.id))

    async def delete_key(self, owner: str, key_id: str) -> bool:
        """See `Accounts`."""
        found = [hashed for hashed, key in self._keys.items() if (key.owner, key.id) == (owner, key_id)]
        for hashed in found:
            del self._keys[hashed]
        return bool(found)

    async def key_used(self, hashed: str, when_s: float) -> None:
        """See `Accounts`."""
        if hashed in self._keys:
            self._keys[hashed] = msgspec.structs.replace(self._keys[hashed], last_used_s=when_s)

    async def toggle_star(self, name: str, repository: Repository) -> bool:
        """See `Accounts`."""
        return self._toggle(self._stars, name, repository)

    async def toggle_bookmark(self, name: str, repository: Repository) -> bool:
        """See `Accounts`."""
        return self._toggle(self._bookmarks, name, repository)

    async def starred(self, name: str) -> Sequence[Repository]:
        """See `Accounts`."""
        return sorted(repository for user, repository in self._stars if user == name)

    async def bookmarked(self, name: str) -> Sequence[Repository]:
        """See `Accounts`."""
        return sorted(repository for user, repository in self._bookmarks if user == name)

    async def stars(self, repository: Repository) -> int:
        """See `Accounts`."""
        return sum(starred == repository for _, starred in self._stars)

    async def star_counts(self) -> Mapping[Repository, int]:
        """See `Accounts`."""
        return Counter(starred for _, starred in self._stars)

    async def close(self) -> None:
        """See `Accounts`: there is nothing to close."""

    def _toggle(self, marks: set[tuple[str, Repository]], name: str, repository: Repository) -> bool:
        self._users.setdefault(name, User(name))
        marks ^= {(name, repository)}
        return (name, repository) in marks
