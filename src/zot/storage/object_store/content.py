"""Open content in an object store."""

from __future__ import annotations

from collections.abc import Hashable

from zot.oci.names import Repository
from zot.storage.interface import ContentMissingError, Location
from zot.storage.object_store.interface import ObjectInfo, ObjectMissingError, ObjectStore

_LOCATION_S = 600.0


class ObjectContent:
    """An object that is read in ranges (a `Content`).

    If it is removed concurrently, a read that begins later raises ContentMissingError: the client's transfer ends short
    of its announced length.
    """

    data: bytes | None = None

    def __init__(self, objects: ObjectStore, info: ObjectInfo, repository: Repository) -> None:
        """Read the object that `info` is about."""
        self._objects = objects
        self._info = info
        self._repository = repository
        self.size = info.size

    @property
    def identity(self) -> Hashable:
        """Return the key with its version: two keys never share their bytes."""
        return self._info.key, self._info.version

    def fileno(self) -> int | None:
        """Return None: there is no file."""
        return None

    async def location(self) -> Location:
        """Return a URL that works for ten minutes. Raises StorageError."""
        return Location(await self._objects.sign(self._info.key, _LOCATION_S), self._repository)

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end. Raises ContentMissingError, StorageError."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        try:
            return await self._objects.read(self._info.key, offset, length)
        except ObjectMissingError:
            raise ContentMissingError(f"{self._info.key} was removed while it was read") from None

    def will_need(self, offset: int, length: int) -> None:
        """Do nothing: the reader asks for the next range while it sends this one."""

    def close(self) -> None:
        """Do nothing: no connection is held between reads."""
