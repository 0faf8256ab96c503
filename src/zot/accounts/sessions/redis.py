"""Sessions in Redis, Valkey or another server with its protocol, shared by all replicas.

Each session is one key, `<keyprefix>:<id>`, which expires with its cookie. Cookies are not signed: an id is 64 random
bytes, and only clients of Redis can list the keys.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from zot.accounts.sessions.ids import SECRET_BYTES, SHARED_BYTES, random_id, well_formed
from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.config.redis_options import redis_options
from zot.databases.redis_calls import RedisCalls
from zot.databases.redis_client import connect

DEFAULT_PREFIX = "zotsession"
PLACE = "http.auth.sessionDriver"

# Not a well-formed session id.
_KEY = "zot-signing-key"

_GLOB = re.compile(r"([*?\[\]\\^-])")


class RedisSessions:
    """`SessionStore` in Redis."""

    def __init__(self, client: Any, prefix: str) -> None:
        """Own the client, which is closed with the store; `prefix` begins all keys."""
        self._calls = RedisCalls(client, SessionsUnavailableError, "the session store")
        self._prefix = prefix

    @classmethod
    async def open(cls, driver: Mapping[str, Any], *, waits: bool = False) -> RedisSessions:
        """Connect with the options of `http.auth.sessionDriver`.

        Raises ConfigurationError if an option is invalid, and SessionsUnavailableError if the server cannot be reached.
        With `waits`, it connects with the first session instead.
        """
        options, _ = redis_options(driver, DEFAULT_PREFIX, PLACE)
        store = cls(connect(options), options.key_prefix)
        if waits:
            return store
        try:
            await store._calls.read("PING")
        except SessionsUnavailableError:
            await store.close()
            raise
        return store

    def new_id(self) -> str:
        """See `SessionStore`."""
        return random_id(SHARED_BYTES)

    async def put(self, session_id: str, value: bytes, ttl_s: int) -> None:
        """See `SessionStore`."""
        await self._calls.change("SET", self._key(session_id), value, "EX", ttl_s)

    async def get(self, session_id: str) -> bytes | None:
        """See `SessionStore`."""
        if not well_formed(session_id):
            return None
        value: bytes | None = await self._calls.read("GET", self._key(session_id))
        return value

    async def delete(self, session_id: str) -> bool:
        """See `SessionStore`."""
        if not well_formed(session_id):
            return False
        return bool(await self._calls.change("DEL", self._key(session_id)))

    async def secret(self) -> bytes:
        """See `SessionStore`. It does not expire in Redis."""
        key = f"{self._prefix}{_KEY}"
        secret: bytes | None = await self._calls.read("GET", key)
        if secret is None:
            # NX: of replicas that start together, one sets it.
            await self._calls.change("SET", key, secrets.token_bytes(SECRET_BYTES), "NX")
            secret = await self._calls.read("GET", key)
        if secret is None:
            raise SessionsUnavailableError("the session store does not store the signing key")
        return secret

    async def ids(self) -> AsyncIterator[str]:
        """See `SessionStore`. Without a prefix, keys of other programs that look like ids are included."""
        pattern = _GLOB.sub(r"\\\1", self._prefix) + "*"
        async for key in self._calls.scan(pattern):
            session_id = key.decode("utf-8", "replace").removeprefix(self._prefix)
            if well_formed(session_id):
                yield session_id

    async def sweep(self) -> None:
        """See `SessionStore`: Redis deletes expired keys."""

    async def close(self) -> None:
        """See `SessionStore`."""
        await self._calls.close()

    def _key(self, session_id: str) -> str:
        return f"{self._prefix}{session_id}"
