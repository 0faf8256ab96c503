"""The interface of the storage: bytes by (repository, digest), and the staged bytes of uploads.

The catalog decides what exists: a file that is here proves nothing. Content is immutable. The bytes of an upload are
staged under (repository, session) and then placed as content. Two calls that place the same digest, or one that places
it and one that removes it, may run concurrently: the catalog's claims order them, and each call of a driver is atomic.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from zot.foundation.threads import ThreadPoolBusyError
from zot.oci.digest import CANONICAL, Digest, algorithm_of, finished, hasher
from zot.oci.names import Repository


class StorageError(Exception):
    """The storage failed: an I/O error, a missing permission, a disk that is not mounted. The outcome is unknown."""


class StorageUnavailableError(StorageError):
    """The store is not the expected one (its disk is not mounted, its identity lost), or is away. May succeed later."""


class StorageFullError(StorageError):
    """The disk is full, or has no more free space than deletes and collection need."""


class StorageBusyError(StorageError, ThreadPoolBusyError):
    """Too many operations wait for the disk: nothing was begun, the same call may succeed in a moment."""


class ContentMissingError(StorageError):
    """The repository has no content with this digest."""


class ContentDamagedError(StorageError):
    """The content has other bytes, or another size, than its digest demands. Nothing was changed."""


class UploadMissingError(StorageError):
    """The staged bytes are gone, or fewer than were recorded: the upload cannot be continued."""


class UploadLockedError(StorageError):
    """Another request holds the upload's lock and did not release it in time. Nothing was changed."""


class DigestMismatchError(Exception):
    """The staged bytes do not have the claimed digest. They stay staged."""

    def __init__(self, claimed: Digest, actual: Digest) -> None:
        """Name both digests."""
        super().__init__(f"content has digest {actual}, not {claimed}")
        self.claimed = claimed
        self.actual = actual


def require_digest(pieces: Iterable[bytes], digest: Digest) -> None:
    """Raise DigestMismatchError unless the pieces have this digest together."""
    algorithm = algorithm_of(digest)
    state = hasher(algorithm)
    for piece in pieces:
        state.update(piece)
    actual = finished(state, algorithm)
    if actual != digest:
        raise DigestMismatchError(digest, actual)


class UploadKey(NamedTuple):
    """The address of staged bytes."""

    repository: Repository
    session: str


class Progress(msgspec.Struct, frozen=True):
    """How far an upload is: its first `offset` bytes are staged, and `prefix` is their digest if known."""

    offset: int
    algorithm: str = CANONICAL
    prefix: Digest | None = None
    driver_state: bytes = b""
    """What the driver needs to find these bytes again, recorded and handed back as it is; empty if it needs nothing."""


SMALL_BYTES = 64 * 1024
"""Content of at most this size is sent from memory, in one piece with its headers."""


class Location(NamedTuple):
    """A URL at which a client gets content without this server."""

    url: str
    """It needs no further authorization, and stops working some minutes later."""
    repository: Repository
    """The repository whose object the URL names: only a principal that may pull from it may learn the URL."""


class Content(Protocol):
    """Open content. It stays readable until it is closed, even if it is removed concurrently.

    Only content that is read in ranges from another machine may be gone then: a later `read` raises
    ContentMissingError, and the transfer ends short of the announced length.

    A driver offers what it has of three ways to send it: the bytes themselves or a descriptor, a location, and the
    stream of bytes that `read` returns, which every driver has.
    """

    size: int

    @property
    def data(self) -> bytes | None:
        """All of its bytes if they are in memory, else None."""

    @property
    def identity(self) -> Hashable | None:
        """Equal for two contents of one storage that share their stored bytes; None if the driver cannot tell."""

    def fileno(self) -> int | None:
        """Return a descriptor that sendfile can read at any offset, or None if the driver has none."""

    async def location(self) -> Location | None:
        """Return where a client gets all of it without this server, None if it cannot. Raises StorageError."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end. Raises StorageError."""

    def will_need(self, offset: int, length: int) -> None:
        """Hint that these bytes will be read soon. Returns at once."""

    def close(self) -> None:
        """Release it. Idempotent."""


class HeldContent:
    """Content whose bytes are in memory (a `Content`)."""

    def __init__(self, data: bytes, identity: Hashable | None = None) -> None:
        """Keep the bytes, also when the content is removed concurrently."""
        self.data = data
        self.size = len(data)
        self.identity = identity

    def fileno(self) -> int | None:
        """Return None: there is no file."""
        return None

    async def location(self) -> Location | None:
        """Return None: sending the bytes takes no longer than a redirect."""
        return None

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end."""
        return self.data[offset : offset + length]

    def will_need(self, offset: int, length: int) -> None:
        """Do nothing: the bytes are here."""

    def close(self) -> None:
        """Do nothing: the bytes go with this object."""


class FoundFile(NamedTuple):
    """A content file that a walk found."""

    digest: Digest
    size: int
    modified_s: float


Checkpoint = Callable[[Progress], Awaitable[None]]
"""Records what an append has staged so far. If it raises, the append ends and writes nothing more."""


REMOVAL_DECIDED_S = 10.0
"""How long after the decision to delete a removal may be called, where `Storage.removal_expires_s` is not 0."""


class Storage(Protocol):
    """Bytes by (repository, digest), and staged uploads."""

    async def open(self, repository: Repository, digest: Digest) -> Content:
        """Open content for reading. Raises ContentMissingError."""

    async def stat(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of content in bytes, or None if it is missing."""

    async def resume_point(self, upload: UploadKey, recorded: Progress) -> Progress:
        """Return where the upload goes on: at `recorded`, or earlier if the driver does not have all of its bytes.

        Raises StorageError.
        """

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
        """Write the body after the first `start.offset` bytes and return the new progress.

        No upload is begun: one without staged bytes is at offset 0. An append locks its upload. Another one waits for
        the lock, at most 2 s, and with `waits` false not at all. If bytes of another request could be lost,
        `checkpoint` is called with `start` first, under the lock and before anything is changed: a request that was
        fenced ends there. Then the bytes after the offset are cut off, so that those of a fenced request vanish.
        `checkpoint` is called about every 64 MiB, and `last` (if given, else `checkpoint`) at the end of the body. If
        the body breaks off or the call is cancelled, `checkpoint` is called with what was written, and then the
        exception is raised. The digest of the bytes so far is known when the append began at offset 0, or when this
        process hashed the bytes before. Raises UploadMissingError; UploadLockedError, with nothing of the body read;
        StorageFullError, StorageError.
        """

    async def open_staged(self, upload: UploadKey) -> Content:
        """Open the staged bytes of an upload for reading, while a request appends to it; `size` is that of now.

        What is read after `size` was appended since. The content stays readable when it is placed. Raises
        UploadMissingError: there are none, or the driver can read them only once they are placed.
        """

    async def verify(self, upload: UploadKey, progress: Progress, digest: Digest) -> None:
        """Check that the first `progress.offset` bytes have this digest.

        They are read only if `progress` lacks their digest by the same algorithm. Otherwise that is compared, and
        nothing tells whether they are still staged: `place` does. Raises DigestMismatchError, UploadMissingError,
        UploadLockedError, StorageError.
        """

    async def matches(self, upload: UploadKey, staged: Progress, repository: Repository, digest: Digest) -> bool:
        """Return whether content equals the staged bytes of that progress, which were verified; all bytes are read.

        False if the content has other bytes or another size, cannot be read, is missing, or is in another store.
        Raises UploadMissingError, UploadLockedError, StorageBusyError; StorageError if the staged bytes cannot be read.
        """

    async def place(self, upload: UploadKey, staged: Progress, digest: Digest, twin: Repository | None) -> None:
        """Make the staged bytes of that progress, which were verified, the content of (repository, digest). Durable.

        Bytes that another request appended after them are cut off. `twin` is a repository whose content `matches`: a
        driver that can share the bytes does so. The staged file is gone afterwards. Existing content is replaced.
        Idempotent: repeated after an unknown outcome, the call returns if content of that size exists. Raises
        UploadMissingError, UploadLockedError, StorageFullError, StorageError; then the staged bytes may be gone, if the
        disk could not keep them.
        """

    async def link(self, source: Repository, target: Repository, digest: Digest, size: int) -> None:
        """Add a source repository's content to the target repository. Durable.

        The bytes are shared if the driver can. Raises ContentMissingError if the source no longer has the content,
        ContentDamagedError if it does not have `size` bytes, or if it had to be copied and has another digest.
        """

    async def put_verified(
        self, repository: Repository, digest: Digest, pieces: Sequence[bytes], twin: Repository | None
    ) -> None:
        """Make pieces of bytes that are in memory content, if together they have the digest. Durable and idempotent.

        `twin` is a repository that has the content, as the catalog says: a driver that can share its bytes compares
        them with the pieces and does so. Existing content is replaced. Raises DigestMismatchError, StorageFullError; if
        bytes are shared ContentDamagedError, with nothing changed, if the twin's content has other bytes, cannot be
        read, or is missing.
        """

    async def verify_pieces(self, repository: Repository, digest: Digest, pieces: Sequence[bytes]) -> None:
        """Check that pieces of bytes that are in memory have this digest together. Raises DigestMismatchError."""

    async def put(self, repository: Repository, digest: Digest, content: bytes) -> None:
        """Store small content, such as a manifest, in one call. Durable and idempotent."""

    async def put_all(self, contents: Mapping[Repository, Mapping[Digest, bytes]]) -> None:
        """Store small contents of one repository or several, all of which are in memory, as `put` does.

        If it raises, some may be there.
        """

    def removal_expires_s(self, repository: Repository) -> float:
        """Return how long a removal may still take effect after `remove` or `quarantine` was called, in seconds.

        0: it has no effect once the call has ended, or its process. Otherwise that is so only of a call that returned;
        after an error, or the death of the process, the content may vanish until that time is over, also if it was
        stored again. It includes 10 s between the decision to delete and the call.
        """

    async def remove(self, repository: Repository, digest: Digest) -> None:
        """Remove content. Durable and idempotent. Raises StorageError; see `removal_expires_s`."""

    async def quarantine(self, repository: Repository, digest: Digest) -> bool:
        """Move damaged content to a place from which no client is served; return False if it is missing.

        Durable. Content that was quarantined under that name before is replaced. If the content is missing, that is
        recorded for `is_quarantined`. Raises StorageError; see `removal_expires_s`.
        """

    async def is_quarantined(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content of that name was found damaged or missing and was quarantined."""

    async def is_whole(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content has its digest, reading all of it.

        False, too, if it cannot be read or is missing. Raises StorageBusyError, and StorageUnavailableError from an
        object store that does not answer.
        """

    async def discard(self, upload: UploadKey) -> None:
        """Remove staged bytes, if there are any.

        An append that is running may stage bytes again; they are found by `staged`.
        """

    def walk(self, repository: Repository) -> AsyncIterator[FoundFile]:
        """Iterate over the repository's content files, in no order. Other tasks run between batches."""

    async def staged(self, repository: Repository) -> list[tuple[str, float]]:
        """Return the repository's staged uploads: session and time of the last change (seconds since the epoch)."""

    async def busy(self, upload: UploadKey) -> bool:
        """Return whether a request of any process is appending to, verifying or placing the upload."""

    async def free_bytes(self, repository: Repository) -> int | None:
        """Return the free bytes of the repository's store, or None if there is no limit."""

    async def ensure_space(self, repository: Repository, needed_bytes: int) -> None:
        """Raise StorageFullError unless a push of `needed_bytes` leaves the configured free space.

        Raises StorageUnavailableError if the root is not the expected store.
        """

    async def ready(self, repository: Repository | None = None) -> None:
        """Raise StorageError unless the expected stores are reachable and writable.

        With `repository`, only the store of that repository is checked.
        """

    async def close(self) -> None:
        """Release all resources."""
