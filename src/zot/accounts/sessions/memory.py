"""Sessions in memory, which end with the process."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable

from zot.accounts.sessions.ids import LOCAL_BYTES, SECRET_BYTES, random_id


class MemorySessions:
    """`SessionStore` in memory."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._values: dict[str, tuple[float, bytes]] = {}
        self._secret = secrets.token_bytes(SECRET_BYTES)

    def new_id(self) -> str:
        """See `SessionStore`."""
        return random_id(LOCAL_BYTES)

    async def put(self, session_id: str, value: bytes, ttl_s: int) -> None:
        """See `SessionStore`."""
        self._values[session_id] = (self._now() + ttl_s, value)

    async def get(self, session_id: str) -> bytes | None:
        """See `SessionStore`."""
        expires_s, value = self._values.get(session_id, (0.0, b""))
        return value if self._now() < expires_s else None

    async def delete(self, session_id: str) -> bool:
        """See `SessionStore`."""
        return self._values.pop(session_id, None) is not None

    async def secret(self) -> bytes:
        """See `SessionStore`."""
        return self._secret

    async def ids(self) -> AsyncIterator[str]:
        """See `SessionStore`."""
        for session_id in list(self._values):
            yield session_id

    async def sweep(self) -> None:
        """See `SessionStore`."""
        now = self._now()
        self._values = {key: entry for key, entry in self._values.items() if now < entry[0]}

    async def close(self) -> None:
        """See `SessionStore`: there is nothing to close."""
