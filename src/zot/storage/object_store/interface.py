"""The interface of object stores: immutable bytes by key, replaced as a whole.

What registries need of S3, Azure Blob Storage and Google Cloud Storage, and what all three have: each operation on a
key is atomic, and a read that begins after a write was answered sees it. Conditions on writes are a second guard: some
servers that look like S3 ignore them, so nothing is decided by them alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from zot.storage.interface import StorageError

T = TypeVar("T")


class ObjectMissingError(StorageError):
    """There is no object of that key."""


class ObjectInfo(NamedTuple):
    """An object without its bytes."""

    key: str
    size: int
    version: str
    """Differs from that of every other object that had the key (an ETag); no digest."""
    modified_s: float
    """Seconds since the epoch, by the clock of the object store."""


class ObjectPart(NamedTuple):
    """A part of an object that is assembled: all bytes of another one."""

    key: str
    size: int


class ObjectStore(Protocol):
    """Objects below one prefix; keys are relative to it. Every method raises StorageError when the store fails."""

    location: str
    """What operators call it: the scheme, the bucket and the prefix. It has no secret."""

    async def look(self, key: str) -> ObjectInfo | None:
        """Return an object without its bytes, or None if it is missing."""

    async def open(self, key: str, limit_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object with its first bytes: all of it if it has at most `limit_bytes`.

        One request. Raises ObjectMissingError.
        """

    async def read(self, key: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end. Raises ObjectMissingError."""

    async def write(self, key: str, pieces: Sequence[bytes]) -> ObjectInfo:
        """Write an object, replacing one that is there. Durable when it returns.

        The pieces are in memory, and are sent in one request: at most some tens of MiB.
        """

    async def write_if(self, key: str, content: bytes, version: str | None) -> ObjectInfo | None:
        """Write an object if the key has that version, None for no object; return None if it has another one.

        Durable when it returns. A server may ignore the condition.
        """

    async def assemble(self, parts: Sequence[ObjectPart], target: str) -> None:
        """Write an object of the bytes of others, in their order, on the server. Durable when it returns.

        One part is copied. Of several, all but the last have the same size, at least 5 MiB. Raises ObjectMissingError
        if one is missing; then `target` is unchanged.
        """

    async def remove(self, key: str) -> None:
        """Remove an object. Idempotent.

        The request is sent once, and expires 35 s after the call at the object store: one that is delayed for longer
        removes nothing, also if the key has been written again. After an error the outcome is unknown for as long.
        """

    def list(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """Iterate over the objects whose keys begin with `prefix`, in byte order of the keys, in batches.

        `prefix` is empty or ends in a slash.
        """

    async def sign(self, key: str, lifetime_s: float) -> str:
        """Return a URL by which a client may get the object without credentials during that time."""

    async def close(self) -> None:
        """Release all connections."""


async def together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of calls that run side by side; raise the first error once all others have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
