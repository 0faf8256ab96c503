"""The storage driver in memory: for tests, and for registries that live as long as a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from zot.oci.digest import CANONICAL, Digest, Hash, algorithm_of, digest_of, finished, hasher
from zot.oci.names import Repository
from zot.storage.append import AppendBuffers, append_body
from zot.storage.interface import (
    Checkpoint,
    Content,
    ContentDamagedError,
    ContentMissingError,
    DigestMismatchError,
    FoundFile,
    HeldContent,
    Location,
    Progress,
    UploadKey,
    UploadLockedError,
    UploadMissingError,
    require_digest,
)
from zot.storage.layout_paths import is_session

_LOCK_WAIT_S = 2.0


class MemoryStorage:
    """Keeps content in this process (`Storage`). Nothing is durable."""

    def __init__(self) -> None:
        """Start empty."""
        self._content: dict[tuple[Repository, Digest], _Stored] = {}
        self._staged: dict[UploadKey, _Staged] = {}
        self._quarantined: set[tuple[Repository, Digest]] = set()

    # --- content ---

    async def open(self, repository: Repository, digest: Digest) -> Content:
        """Open content for reading. Raises ContentMissingError."""
        return HeldContent(self._stored(repository, digest).content)

    async def stat(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of content in bytes, or None if it is missing."""
        stored = self._content.get((repository, digest))
        return None if stored is None else len(stored.content)

    async def matches(self, upload: UploadKey, staged: Progress, repository: Repository, digest: Digest) -> bool:
        """Return whether content equals the staged bytes."""
        stored, size = self._content.get((repository, digest)), staged.offset
        if stored is None or len(stored.content) != size:
            return False
        found = self._require(upload, size)
        async with found.held():
            self._require_current(upload, found)
            return stored.content == found.content[:size]

    async def is_whole(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content has its digest."""
        stored = self._content.get((repository, digest))
        return stored is not None and digest_of(stored.content, algorithm_of(digest)) == digest

    async def place(self, upload: UploadKey, staged: Progress, digest: Digest, twin: Repository | None) -> None:
        """Make verified staged bytes content, or share the twin's."""
        size = staged.offset
        if upload not in self._staged and await self.stat(upload.repository, digest) == size:
            return
        found = self._require(upload, size)
        async with found.held():
            self._require_current(upload, found)
            del found.content[size:]
            shared = None if twin is None else self._content.get((twin, digest))
            if shared is not None and len(shared.content) == len(found.content):
                self._store(upload.repository, digest, shared.content)
            else:
                self._store(upload.repository, digest, bytes(found.content))
            del self._staged[upload]

    async def link(self, source: Repository, target: Repository, digest: Digest, size: int) -> None:
        """Add the source's content to the target."""
        content = self._stored(source, digest).content
        if len(content) != size:
            raise ContentDamagedError(f"{digest} of {source} has {len(content)} bytes instead of {size}")
        self._store(target, digest, content)

    async def put_verified(
        self, repository: Repository, digest: Digest, pieces: Sequence[bytes], twin: Repository | None
    ) -> None:
        """Make bytes in memory content, or share the twin's."""
        require_digest(pieces, digest)
        content = b"".join(pieces)
        if twin is not None:
            shared = self._content.get((twin, digest))
            if shared is None or shared.content != content:
                raise ContentDamagedError(f"{digest} of {twin} has other bytes")
            content = shared.content
        self._store(repository, digest, content)

    async def verify_pieces(self, repository: Repository, digest: Digest, pieces: Sequence[bytes]) -> None:
        """Check the digest of bytes in memory."""
        del repository
        require_digest(pieces, digest)

    async def put(self, repository: Repository, digest: Digest, content: bytes) -> None:
        """Store small content."""
        self._store(repository, digest, content)

    async def put_all(self, contents: Mapping[Repository, Mapping[Digest, bytes]]) -> None:
        """Store small contents of one repository or several."""
        for repository, its in contents.items():
            for digest, content in its.items():
                self._store(repository, digest, content)

    async def quarantine(self, repository: Repository, digest: Digest) -> bool:
        """Remove damaged content and record that; the bytes are not kept."""
        self._quarantined.add((repository, digest))
        return self._content.pop((repository, digest), None) is not None

    async def is_quarantined(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content of that name was quarantined."""
        return (repository, digest) in self._quarantined

    def removal_expires_s(self, repository: Repository) -> float:
        """Return 0: a removal ends with its call."""
        del repository
        return 0.0

    async def remove(self, repository: Repository, digest: Digest) -> None:
        """Remove content."""
        self._content.pop((repository, digest), None)

    async def walk(self, repository: Repository) -> AsyncIterator[FoundFile]:
        """Iterate over the repository's content."""
        for (owner, digest), stored in list(self._content.items()):
            if owner == repository:
                yield FoundFile(digest, len(stored.content), stored.modified_s)

    # --- uploads ---

    async def resume_point(self, upload: UploadKey, recorded: Progress) -> Progress:
        """Return `recorded`: memory loses no bytes."""
        del upload
        return recorded

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
        """Add the body after the first `start.offset` bytes and return the new progress."""
        if start.offset == 0 and is_session(upload.session):
            self._staged.setdefault(upload, _Staged())
        staged = self._require(upload, start.offset)
        async with staged.held(waits=waits):
            self._require_current(upload, staged)
            if staged.content:
                await checkpoint(start)
            staged.cut(start)
            return await append_body(staged, body, checkpoint, last or checkpoint, AppendBuffers())

    async def open_staged(self, upload: UploadKey) -> Content:
        """Open staged bytes for reading. Raises UploadMissingError."""
        return _StagedContent(self._require(upload, 0).content)

    async def verify(self, upload: UploadKey, progress: Progress, digest: Digest) -> None:
        """Check that the first `progress.offset` bytes have this digest."""
        actual = progress.prefix
        if actual is None or algorithm_of(actual) != algorithm_of(digest):
            staged = self._require(upload, progress.offset)
            async with staged.held():
                self._require_current(upload, staged)
                actual = digest_of(staged.content[: progress.offset], algorithm_of(digest))
        if actual != digest:
            raise DigestMismatchError(digest, actual)

    async def discard(self, upload: UploadKey) -> None:
        """Remove staged bytes, if there are any."""
        self._staged.pop(upload, None)

    async def staged(self, repository: Repository) -> list[tuple[str, float]]:
        """Return the repository's staged uploads: session and time of the last change."""
        return [(key.session, staged.changed_s) for key, staged in self._staged.items() if key.repository == repository]

    async def busy(self, upload: UploadKey) -> bool:
        """Return whether a request is working on the upload."""
        staged = self._staged.get(upload)
        return staged is not None and staged.lock.locked()

    # --- the store ---

    async def free_bytes(self, repository: Repository) -> int | None:
        """Return None: memory has no known limit."""
        del repository
        return None

    async def ensure_space(self, repository: Repository, needed_bytes: int) -> None:
        """Do nothing: memory has no known limit."""

    async def ready(self, repository: Repository | None = None) -> None:
        """Do nothing: memory is always ready."""

    async def close(self) -> None:
        """Drop all content and staged bytes."""
        self._content.clear()
        self._staged.clear()

    # --- content and staged bytes ---

    def _store(self, repository: Repository, digest: Digest, content: bytes) -> None:
        self._content[repository, digest] = _Stored(content, time.time())

    def _stored(self, repository: Repository, digest: Digest) -> _Stored:
        try:
            return self._content[repository, digest]
        except KeyError:
            raise ContentMissingError(f"{repository} has no content {digest}") from None

    def _require(self, upload: UploadKey, length: int) -> _Staged:
        staged = self._staged.get(upload)
        if staged is None or len(staged.content) < length:
            raise UploadMissingError(f"no {length} bytes of upload {upload.session} are staged")
        return staged

    def _require_current(self, upload: UploadKey, staged: _Staged) -> None:
        if self._staged.get(upload) is not staged:
            raise UploadMissingError(f"upload {upload.session} is finished")


@dataclass(frozen=True, slots=True)
class _Stored:
    content: bytes
    modified_s: float


class _StagedContent:
    """Staged bytes that grow while they are read (a `Content`)."""

    data = None
    identity = None

    def __init__(self, content: bytearray) -> None:
        self.size = len(content)
        self._content = content

    def fileno(self) -> int | None:
        """Return None: there is no file."""
        return None

    async def location(self) -> Location | None:
        """Return None: only this process has the bytes."""
        return None

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end."""
        return bytes(self._content[offset : offset + length])

    def will_need(self, offset: int, length: int) -> None:
        """Do nothing: the bytes are here."""

    def close(self) -> None:
        """Do nothing: the bytes go with this object."""


@dataclass(slots=True, eq=False)
class _Staged:
    """Bytes of an upload; an `AppendTarget` while they are locked."""

    content: bytearray = field(default_factory=bytearray)
    changed_s: float = field(default_factory=time.time)
    algorithm: str = CANONICAL
    state: Hash | None = field(default_factory=hasher)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def held(self, *, waits: bool = True) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(self.lock.acquire(), _LOCK_WAIT_S if waits or not self.lock.locked() else 0)
        except TimeoutError:
            raise UploadLockedError("another request writes to the upload") from None
        try:
            yield
        finally:
            self.lock.release()

    @property
    def progress(self) -> Progress:
        prefix = finished(self.state, self.algorithm) if self.state is not None else None
        return Progress(len(self.content), self.algorithm, prefix)

    def cut(self, start: Progress) -> None:
        """Begin to append at `start`."""
        if start.offset == 0:
            self.state = hasher(start.algorithm)
        elif self.progress != start:
            self.state = None
        self.algorithm = start.algorithm
        del self.content[start.offset :]

    async def write(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self.content += chunk
            if self.state is not None:
                self.state.update(chunk)
        self.changed_s = time.time()

    async def flush(self) -> None:
        """Do nothing: all that was written counts."""
