"""A storage as an object store is: its content is streamed, or found by clients at a location of its own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.storage.interface import Content, Location, StorageError
from zot.storage.memory import MemoryStorage


class RemoteStorage(MemoryStorage):
    """Keeps content in memory, but shows none of it: neither bytes nor a descriptor."""

    def __init__(self, homes: Mapping[Repository, Repository] | None = None) -> None:
        """Have locations for the repositories in `homes`."""
        super().__init__()
        self.homes = dict(homes or {})
        """Repository -> the one whose objects are its locations; without an entry it has none."""
        self.signs = True
        """Whether locations can be made; if not, asking for one fails."""
        self.located: list[Digest] = []
        """The digests for which a location was made."""
        self.reads: list[tuple[int, int]] = []
        """Offset and length of each read."""
        self.opened = 0
        """How many contents are open."""

    async def open(self, repository: Repository, digest: Digest) -> Content:
        """Open content for reading. Raises ContentMissingError."""
        return RemoteContent(self, await super().open(repository, digest), repository, digest)


class RemoteContent:
    """Open content (a `Content`)."""

    data = None
    identity: Hashable | None = None

    def __init__(self, storage: RemoteStorage, held: Content, repository: Repository, digest: Digest) -> None:
        """Read what is held."""
        self._storage = storage
        self._held = held
        self._repository = repository
        self._digest = digest
        self._open = True
        self.size = held.size
        storage.opened += 1

    def fileno(self) -> int | None:
        """Return None: there is no file."""
        return None

    async def location(self) -> Location | None:
        """Return the location of the object, if there is one."""
        if not self._storage.signs:
            raise StorageError("the signature failed")
        home = self._storage.homes.get(self._repository)
        if home is None:
            return None
        self._storage.located.append(self._digest)
        return Location(f"https://bucket.example/{home}/{self._digest}?signature=x", home)

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end."""
        self._storage.reads.append((offset, length))
        return await self._held.read(offset, length)

    def will_need(self, offset: int, length: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Count it as closed, once."""
        if self._open:
            self._open = False
            self._storage.opened -= 1
