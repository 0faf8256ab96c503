"""Where bytes are. What exists is the catalog's to decide: a file that is here proves nothing.

Content is immutable and addressed by (repository, digest); an upload's bytes are staged under (repository, session)
until they are published. Two publications of one digest, or a publication and a removal, may meet: the catalog's
claims order them, and a driver only has to be atomic in each call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol

import msgspec

from zot.foundation.threads import ThreadPoolBusyError
from zot.oci.digest import CANONICAL, Digest
from zot.oci.names import Repository


class StorageError(Exception):
    """The storage failed (an I/O error, no permission, a disk that is not mounted): nothing is known to be changed."""


class StorageUnavailableError(StorageError):
    """The root is not the store that it should be (a disk that is not mounted, a lost identity). It passes."""


class StorageFullError(StorageError):
    """There is no room, or less than is kept free for deletes and collection."""


class StorageBusyError(StorageError, ThreadPoolBusyError):
    """Too many operations wait for the disk: nothing was begun, the same call may succeed in a moment."""


class ContentMissingError(StorageError):
    """There is no such content, although somebody expected it."""


class ContentDamagedError(StorageError):
    """The content has not the bytes, or the size, of its digest. Nothing was changed."""


class UploadMissingError(StorageError):
    """The staged bytes are gone, or fewer than were recorded: the upload cannot go on."""


class UploadLockedError(StorageError):
    """Another request is writing to the upload and did not let go in time. Nothing was changed."""


class DigestMismatchError(Exception):
    """The staged bytes have another digest than the one claimed. They stay staged."""

    def __init__(self, claimed: Digest, actual: Digest) -> None:
        """Take both digests."""
        super().__init__(f"content has digest {actual}, not {claimed}")
        self.claimed = claimed
        self.actual = actual


class UploadKey(NamedTuple):
    """The address of staged bytes."""

    repository: Repository
    session: str


class Progress(msgspec.Struct, frozen=True):
    """How far an upload is: the first `offset` bytes are staged; `prefix` is their digest if it is known."""

    offset: int
    algorithm: str = CANONICAL
    prefix: Digest | None = None


class Content(Protocol):
    """Open content. It stays readable until it is closed, even if it is removed meanwhile."""

    size: int

    def fileno(self) -> int | None:
        """Return a descriptor that sendfile can read at any offset, None if this driver has none."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end. Raises StorageError."""

    def will_need(self, offset: int, length: int) -> None:
        """Hint that these bytes are read soon; returns at once."""

    def close(self) -> None:
        """Let go of it. Twice does no harm."""


class FoundFile(NamedTuple):
    """A content file that a walk came by."""

    digest: Digest
    size: int
    modified_s: float


Checkpoint = Callable[[Progress], Awaitable[None]]
"""Called by an append with what is staged so far; what it raises ends the append: nothing is written after it."""


class Storage(Protocol):
    """Bytes by (repository, digest), and staged uploads."""

    async def open(self, repository: Repository, digest: Digest) -> Content:
        """Open content for reading. Raises ContentMissingError."""

    async def stat(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of content, None if it is not there."""

    async def begin(self, upload: UploadKey) -> None:
        """Make an empty staged file. Again does no harm. Raises StorageFullError, StorageError."""

    async def append(
        self, upload: UploadKey, start: Progress, body: AsyncIterator[bytes], checkpoint: Checkpoint
    ) -> Progress:
        """Write the body behind the first `start.offset` bytes and return how far it got.

        One append at a time has an upload; another waits for it 2 s at most. `checkpoint` is called with `start` first,
        once the upload is held and before anything is changed: there a request that was fenced off meanwhile ends.
        Then what lies behind the offset is cut off, so that a fenced request's bytes vanish. It is called again about
        every 64 MiB, and at the end, also when the body breaks off or the wait is cancelled: then with what was
        written, before the body's exception goes on. The digest of the bytes so far is kept if it can be: at offset 0,
        or if this process hashed what was before. Raises UploadMissingError, UploadLockedError, StorageFullError,
        StorageError.
        """

    async def verify(self, upload: UploadKey, progress: Progress, digest: Digest) -> None:
        """Check that the first `progress.offset` bytes have this digest, and cut off the rest.

        If `progress` has their digest by the same algorithm the file is not read again. Raises DigestMismatchError,
        UploadMissingError, UploadLockedError, StorageError.
        """

    async def matches(self, upload: UploadKey, size: int, repository: Repository, digest: Digest) -> bool:
        """Tell whether content is the first `size` staged bytes: all of both is read.

        False: it has other bytes, or another size, it cannot be read, it is missing, or in another store. Raises
        UploadMissingError, UploadLockedError, StorageBusyError, StorageError (if it is the staged bytes that cannot be
        read).
        """

    async def publish(self, upload: UploadKey, digest: Digest, size: int, twin: Repository | None) -> None:
        """Make the first `size` staged bytes, verified, the content of (repository, digest). Durable when it returns.

        What another request appended behind them is cut off. `twin` is a repository whose content `matches`: a driver
        that can share the bytes does so. The staged file is gone afterwards. Content that is there already is replaced.
        Idempotent: after an unknown outcome it returns if content of that size is there. Raises UploadMissingError,
        UploadLockedError, StorageFullError, StorageError; the staged bytes may be gone then, if the disk could not keep
        them.
        """

    async def link(self, source: Repository, target: Repository, digest: Digest, size: int) -> None:
        """Make the source's content the target's too, sharing bytes if the driver can. Durable when it returns.

        Raises ContentMissingError if the source has it no more, ContentDamagedError if it has not `size` bytes, or if
        it had to be copied and has another digest.
        """

    async def put(self, repository: Repository, digest: Digest, content: bytes) -> None:
        """Store small content whole (manifests, for a layout). Durable when it returns. Again does no harm."""

    async def remove(self, repository: Repository, digest: Digest) -> None:
        """Remove content. That it is gone already does no harm. When it returns it is gone, also after a power loss."""

    async def set_aside(self, repository: Repository, digest: Digest) -> bool:
        """Take damaged content out of the repository, and keep it where no client is served from; False: there is none.

        Durable when it returns. What was set aside before under that name is replaced. If there is none, that it was
        missing is recorded, for `was_set_aside`.
        """

    async def was_set_aside(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether content of that name was found damaged or missing, and taken out of the repository."""

    async def is_whole(self, repository: Repository, digest: Digest) -> bool:
        """Tell whether content has its digest: all of it is read. False: it cannot be read, too, or is missing.

        Raises StorageBusyError.
        """

    async def discard(self, upload: UploadKey) -> None:
        """Remove staged bytes, if there are any."""

    def walk(self, repository: Repository) -> AsyncIterator[FoundFile]:
        """Iterate over the repository's content files, in no order, without holding up anything else."""

    async def staged(self, repository: Repository) -> list[tuple[str, float]]:
        """Return the repository's staged uploads: session and time of the last change (seconds since the epoch)."""

    async def busy(self, upload: UploadKey) -> bool:
        """Tell whether a request, of any process, appends to, verifies or publishes the upload now."""

    async def free_bytes(self, repository: Repository) -> int | None:
        """Return the room where this repository's bytes are, None if there is no limit."""

    async def require_room(self, repository: Repository, needed_bytes: int) -> None:
        """Raise StorageFullError unless a push of so many bytes leaves the configured free space."""

    async def ready(self, repository: Repository | None = None) -> None:
        """Raise StorageError unless it is the storage that it should be, reachable and writable.

        With `repository`, only where that one's content is.
        """

    async def close(self) -> None:
        """Let go of everything."""
