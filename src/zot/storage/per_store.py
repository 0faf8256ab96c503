"""Several storages behind one interface, chosen by the first component of a repository's name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from zot.oci.digest import Digest
from zot.oci.names import Repository, route_of
from zot.storage.copy import copy_content
from zot.storage.interface import Checkpoint, Content, FoundFile, Progress, Storage, UploadKey


class PerStoreStorage:
    """Passes each call to the storage of the repository (`Storage`).

    Content is shared within a storage and copied between two. A route is "/" and the first component of names. Names of
    one component, and those without a route, are in the default storage. Each storage uses full names.
    """

    def __init__(self, default: Storage, routes: Mapping[str, Storage]) -> None:
        """Use the storage of each route for the names below it. Several routes may have the same storage."""
        self._default = default
        self._routes = dict(routes)

    def of(self, repository: Repository) -> Storage:
        """Return the storage of the repository."""
        return self._routes.get(route_of(repository), self._default)

    def same_root(self, one: Repository, other: Repository) -> bool:
        """Return whether the repositories can share content."""
        return self.of(one) is self.of(other)

    async def open(self, repository: Repository, digest: Digest) -> Content:
        """Open content for reading."""
        return await self.of(repository).open(repository, digest)

    async def stat(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of content in bytes, or None if it is missing."""
        return await self.of(repository).stat(repository, digest)

    async def resume_point(self, upload: UploadKey, recorded: Progress) -> Progress:
        """Return where the upload goes on."""
        return await self.of(upload.repository).resume_point(upload, recorded)

    async def append(
        self,
        upload: UploadKey,
        start: Progress,
        body: AsyncIterator[bytes],
        checkpoint: Checkpoint,
        last: Checkpoint | None = None,
        *,
        waits: bool = True,
    ) -> Progress:
        """Write the body after the first `start.offset` bytes."""
        return await self.of(upload.repository).append(upload, start, body, checkpoint, last, waits=waits)

    async def open_staged(self, upload: UploadKey) -> Content:
        """Open staged bytes for reading."""
        return await self.of(upload.repository).open_staged(upload)

    async def verify(self, upload: UploadKey, progress: Progress, digest: Digest) -> None:
        """Check that the staged bytes have this digest."""
        await self.of(upload.repository).verify(upload, progress, digest)

    async def matches(self, upload: UploadKey, staged: Progress, repository: Repository, digest: Digest) -> bool:
        """Return whether content equals the staged bytes; False if it is in another storage."""
        if not self.same_root(upload.repository, repository):
            return False
        return await self.of(repository).matches(upload, staged, repository, digest)

    async def place(self, upload: UploadKey, staged: Progress, digest: Digest, twin: Repository | None) -> None:
        """Make staged bytes content; a twin in another storage is ignored."""
        if twin is not None and not self.same_root(upload.repository, twin):
            twin = None
        await self.of(upload.repository).place(upload, staged, digest, twin)

    async def link(self, source: Repository, target: Repository, digest: Digest, size: int) -> None:
        """Add the source's content to the target: shared in one storage, copied to another."""
        if self.same_root(source, target):
            await self.of(source).link(source, target, digest, size)
            return
        await copy_content(self.of(source), source, self.of(target), target, digest, size)

    async def is_whole(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content has its digest."""
        return await self.of(repository).is_whole(repository, digest)

    async def put_verified(
        self, repository: Repository, digest: Digest, pieces: Sequence[bytes], twin: Repository | None
    ) -> None:
        """Make bytes in memory content; a twin in another storage is ignored."""
        if twin is not None and not self.same_root(repository, twin):
            twin = None
        await self.of(repository).put_verified(repository, digest, pieces, twin)

    async def verify_pieces(self, repository: Repository, digest: Digest, pieces: Sequence[bytes]) -> None:
        """Check the digest of bytes in memory."""
        await self.of(repository).verify_pieces(repository, digest, pieces)

    async def put(self, repository: Repository, digest: Digest, content: bytes) -> None:
        """Store small content."""
        await self.of(repository).put(repository, digest, content)

    async def put_all(self, contents: Mapping[Repository, Mapping[Digest, bytes]]) -> None:
        """Store small contents of one repository or several."""
        for storage in self._all():
            its = {repository: each for repository, each in contents.items() if self.of(repository) is storage}
            if its:
                await storage.put_all(its)

    def removal_expires_s(self, repository: Repository) -> float:
        """Return how long a removal may still take effect."""
        return self.of(repository).removal_expires_s(repository)

    async def remove(self, repository: Repository, digest: Digest) -> None:
        """Remove content."""
        await self.of(repository).remove(repository, digest)

    async def quarantine(self, repository: Repository, digest: Digest) -> bool:
        """Move damaged content out of the repository."""
        return await self.of(repository).quarantine(repository, digest)

    async def is_quarantined(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content of that name was quarantined."""
        return await self.of(repository).is_quarantined(repository, digest)

    async def discard(self, upload: UploadKey) -> None:
        """Remove staged bytes."""
        await self.of(upload.repository).discard(upload)

    def walk(self, repository: Repository) -> AsyncIterator[FoundFile]:
        """Iterate over the repository's content files."""
        return self.of(repository).walk(repository)

    async def staged(self, repository: Repository) -> list[tuple[str, float]]:
        """Return the repository's staged uploads."""
        return await self.of(repository).staged(repository)

    async def busy(self, upload: UploadKey) -> bool:
        """Return whether a request is working on the upload."""
        return await self.of(upload.repository).busy(upload)

    async def free_bytes(self, repository: Repository) -> int | None:
        """Return the free bytes of the repository's storage."""
        return await self.of(repository).free_bytes(repository)

    async def ensure_space(self, repository: Repository, needed_bytes: int) -> None:
        """Raise StorageFullError unless a push of `needed_bytes` leaves the configured free space."""
        await self.of(repository).ensure_space(repository, needed_bytes)

    async def ready(self, repository: Repository | None = None) -> None:
        """Raise StorageError unless all storages, or that of the repository, are ready."""
        for storage in self._all() if repository is None else (self.of(repository),):
            await storage.ready()

    async def close(self) -> None:
        """Close all storages."""
        for storage in self._all():
            await storage.close()

    def _all(self) -> Iterable[Storage]:
        return {id(each): each for each in (self._default, *self._routes.values())}.values()
