"""Where sessions are kept: values by unguessable ids, for a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class SessionsUnavailableError(Exception):
    """The store cannot be reached now, so nothing is known about any session."""


class SessionStore(Protocol):
    """Values by id, each with a time to live. An id that is not known is no error, wherever it comes from.

    A value is there for every replica once `put` has returned, and gone for every replica once `delete` has.
    """

    def new_id(self) -> str:
        """Return an id that nobody can guess, as it stands in a cookie."""

    async def put(self, session_id: str, value: bytes, ttl_s: int) -> None:
        """Keep the value for so long; a value of the same id is replaced."""

    async def get(self, session_id: str) -> bytes | None:
        """Return the value, None if there is none or its time is over."""

    async def delete(self, session_id: str) -> bool:
        """Remove the value; True for exactly one of those who try."""

    async def secret(self) -> bytes:
        """Return a secret key, the same in every process and replica that shares the store.

        It is made when it is first needed. It changes if the store loses it.
        """

    def ids(self) -> AsyncIterator[str]:
        """Return the ids there are, some that expire meanwhile among them."""

    async def sweep(self) -> None:
        """Remove what expired, where nothing else does."""

    async def close(self) -> None:
        """Let go of everything."""
