"""A cache of verified passwords, so that a pull of thirty blobs costs one bcrypt and not thirty."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

from zot.auth.principal import Principal
from zot.foundation.bounded_map import BoundedMap

LIFETIME_S = 60.0
COUNT_LIMIT = 10_000


class PasswordCache:
    """Verified logins of one process, bounded in number and time.

    It stores keyed hashes of the logins, so that a dump of the cache alone does not help to guess passwords.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._key = secrets.token_bytes(32)
        self._verified: BoundedMap[bytes, tuple[float, Principal]] = BoundedMap(COUNT_LIMIT)

    def find(self, encoded: str) -> Principal | None:
        """Return the principal of recently verified credentials (`Login.encoded`), or None."""
        entry = self._verified.get(self._hash(encoded))
        return entry[1] if entry is not None and self._now() < entry[0] else None

    def add(self, encoded: str, principal: Principal) -> None:
        """Store verified credentials for `LIFETIME_S`."""
        self._verified[self._hash(encoded)] = (self._now() + LIFETIME_S, principal)

    def clear(self) -> None:
        """Remove all entries: the file that they were verified against has changed."""
        self._verified.clear()

    def _hash(self, encoded: str) -> bytes:
        return hashlib.blake2b(encoded.encode(), key=self._key, digest_size=32).digest()
