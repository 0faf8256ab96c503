"""Passwords that were right a moment ago, so that a pull of thirty blobs costs one bcrypt and not thirty."""

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

    What is kept is a hash under a key of this process: whoever reads its memory afterwards finds nothing to guess
    passwords with.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing, and a key of its own."""
        self._now = now
        self._key = secrets.token_bytes(32)
        self._known: BoundedMap[bytes, tuple[float, Principal]] = BoundedMap(COUNT_LIMIT)

    def find(self, sent: str) -> Principal | None:
        """Return who that is, None if what was sent was not verified lately."""
        known = self._known.get(self._hash(sent))
        return known[1] if known is not None and self._now() < known[0] else None

    def remember(self, sent: str, principal: Principal) -> None:
        """Keep a verified login for `LIFETIME_S`."""
        self._known[self._hash(sent)] = (self._now() + LIFETIME_S, principal)

    def forget(self) -> None:
        """Forget everything at once: what the logins were verified against has changed."""
        self._known.clear()

    def _hash(self, sent: str) -> bytes:
        return hashlib.blake2b(sent.encode(), key=self._key, digest_size=32).digest()
