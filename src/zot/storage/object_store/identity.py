"""The identity of a store in an object store, so that another bucket is not taken for an empty one."""

from __future__ import annotations

import json
from uuid import uuid4

from zot.storage.interface import StorageUnavailableError
from zot.storage.object_store.interface import ObjectMissingError, ObjectStore

_KEY = ".zot/store.json"
_LIMIT_BYTES = 64 * 1024


class ObjectStoreIdentity:
    """The id in the object `.zot/store.json`. The first process writes it; it never changes."""

    def __init__(self, objects: ObjectStore, expected: str | None) -> None:
        """Look below the prefix of `objects`. With `expected` it must be that store, otherwise it may be any."""
        self._objects = objects
        self._expected = expected

    async def establish(self) -> str:
        """Return the store's id; write a new one if it is missing and none is expected.

        Raises StorageUnavailableError if another id is expected, StorageError.
        """
        found = await self._read()
        if found is None and self._expected is None:
            content = json.dumps({"store": str(uuid4())}).encode()
            await self._objects.write_if(_KEY, content, None)
            # Of several processes that start together the last one has won where the server ignores conditions.
            found = await self._read()
        if self._expected is None:
            self._expected = found
        where = self._objects.location
        if found is None:
            raise StorageUnavailableError(
                f"{where} is empty or not a store, but store {self._expected} is expected: are bucket and rootdirectory"
                f" right? If so, write {json.dumps({'store': self._expected})} to the object {_KEY} below it"
            )
        if found != self._expected:
            raise StorageUnavailableError(f"{where} is store {found}, but store {self._expected} is expected")
        return found

    async def check(self) -> None:
        """Raise StorageUnavailableError if this is not the expected store, StorageError if it does not answer."""
        await self.establish()

    async def _read(self) -> str | None:
        try:
            _, content = await self._objects.open(_KEY, _LIMIT_BYTES)
            return str(json.loads(content)["store"])
        except ObjectMissingError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StorageUnavailableError(f"{_KEY} below {self._objects.location} is damaged") from error
