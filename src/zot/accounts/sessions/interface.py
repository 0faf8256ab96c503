"""The interface of session stores: values by unguessable ids, with a time to live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class SessionsUnavailableError(Exception):
    """The store cannot be reached now: it is unknown whether a session exists."""


class SessionStore(Protocol):
    """Values by id, each with a time to live. An unknown or malformed id is not an error.

    Every replica sees a value once `put` has returned, and no replica once `delete` has. Every method but `new_id`
    raises SessionsUnavailableError.
    """

    def new_id(self) -> str:
        """Return an unguessable id, for use in a cookie."""

    async def put(self, session_id: str, value: bytes, ttl_s: int) -> None:
        """Store a value for `ttl_s` seconds; replace one with the same id."""

    async def get(self, session_id: str) -> bytes | None:
        """Return the value, None if there is none or it has expired."""

    async def delete(self, session_id: str) -> bool:
        """Delete a value; of concurrent calls exactly one returns True."""

    async def secret(self) -> bytes:
        """Return a secret key that all processes and replicas of the store share.

        It is generated at the first call, and again if the store loses it.
        """

    def ids(self) -> AsyncIterator[str]:
        """Return the ids of all values, which may include expired ones."""

    async def sweep(self) -> None:
        """Delete expired values, if the store does not do so by itself. Idempotent."""

    async def close(self) -> None:
        """Close the store."""
