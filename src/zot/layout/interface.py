"""The files of a layout that are not content: which layouts there are, and the `index.json` of each.

Content is the storage's. What is here has no digest for a name, is replaced as a whole, and may be written by other
programs at any moment, in place or by renaming: a reader copes with half of a file, and whoever replaces one looks at
what was replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from typing import NamedTuple, Protocol

from zot.catalog.rows import Unread
from zot.layout.index_json import Index, IndexHead
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.unimported import Unserved

_POLL_S = 0.05

INDEX_LIMIT_BYTES = 256 * 1024 * 1024
"""The largest `index.json` that is read whole: about a million tags."""


class IndexVersion(StrEnum):
    """Which `index.json`."""

    CURRENT = "current"
    REPLACED = "replaced"
    """The one that was in place before the last `place`, until `forget_replaced`."""


class FileSignature(NamedTuple):
    """What tells a file from another one without reading it. Renaming keeps it."""

    size: int
    inode: int
    modified_ns: int


class IndexFile(NamedTuple):
    """An `index.json` read whole."""

    parsed: Index
    digest: str
    """Its sha256, in hexadecimal digits."""
    signature: FileSignature


class StagedIndex(NamedTuple):
    """A new `index.json` that is not in place yet."""

    digest: str
    """Its sha256, in hexadecimal digits."""
    signature: FileSignature


class IndexScan(Protocol):
    """An `index.json` that is being read."""

    signature: FileSignature
    """Older than the bytes, if they change meanwhile."""
    head: IndexHead
    """Known once all descriptors are read."""
    digest: str
    """The sha256 of what was read, likewise."""

    def descriptors(self) -> AsyncIterator[list[bytes]]:
        """Iterate over the descriptors in their order, as they are written, some hundred at once.

        Raises InvalidLayoutError when it turns out to be torn, or no index.
        """


class ContentFile(NamedTuple):
    """A small content file read whole; its bytes have the digest of its name."""

    content: bytes
    modified_ns: int


class LayoutFiles(Protocol):
    """The layouts of a store. Everything raises StorageError when the storage fails."""

    async def ready(self, repository: Repository) -> None:
        """Raise StorageError unless the repository's root is the store that it should be, and its directory its own.

        It is another's where a symbolic link leads to a directory that another name of the store leads to as well.
        """

    def repositories(self) -> AsyncIterator[Repository]:
        """Iterate over the names of all layouts, in no order, without holding up anything else.

        A directory is a layout if it has `index.json` and `oci-layout`. Directories that no repository's name leads
        to (the `blobs` of a layout, `.uploads`, `_trivy`) are passed over; a layout among them is named in the log.
        Symbolic links to directories are followed, but never to one that has another name here.
        """

    async def is_removed(self, repository: Repository) -> bool:
        """Tell whether the repository's directory is missing below a root that is there.

        False where a symbolic link leads to it: the disk behind the link may be absent.
        """

    def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that no repository is, because of their names or where they lie, and why."""

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what lies where a new layout of that name would have its files, None if nothing does."""

    async def existing(self, names: Sequence[Repository]) -> list[Repository]:
        """Return those of the names that are layouts."""

    async def signature(
        self, repository: Repository, place: IndexVersion = IndexVersion.CURRENT
    ) -> FileSignature | None:
        """Return the signature of an `index.json`, None if there is none."""

    async def load(self, repository: Repository, place: IndexVersion = IndexVersion.CURRENT) -> IndexFile | None:
        """Return an `index.json`, None if there is none.

        Raises InvalidLayoutError if it is none, torn, or has more than INDEX_LIMIT_BYTES.
        """

    def read(self, repository: Repository) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes of `index.json`, in pieces; over none if there is none."""

    async def contents(
        self, repository: Repository, digests: Sequence[Digest], limit_bytes: int
    ) -> list[ContentFile | Unread]:
        """Return content files of at most `limit_bytes`, or why one cannot be read.

        It may be fewer than were asked for, but one, so that not many large ones are held at once.
        """

    async def content_changed(self, repository: Repository) -> tuple[int, ...]:
        """Return a value that changes when a content file comes or goes."""

    def scan(self, repository: Repository) -> AbstractAsyncContextManager[IndexScan | None]:
        """Open `index.json` of any writer, to read it once, piece by piece; None if there is none.

        Raises InvalidLayoutError if it is no regular file, or has more than INDEX_LIMIT_BYTES.
        """

    def adopting(self, repository: Repository) -> AbstractAsyncContextManager[bool]:
        """Be the only one, of all processes, that adopts, merges or exports the layout; False if another one does.

        True also where there is no directory, and so nothing to adopt. It ends with the block, or with the process.
        """

    async def stage(self, repository: Repository, content: AsyncIterator[bytes]) -> StagedIndex:
        """Write a new `index.json` beside the one in place, durably; it replaces what was staged before.

        The directory is made, and becomes an image layout, if need be. When it raises nothing is staged.
        """

    async def place(self, repository: Repository) -> None:
        """Put what was staged in place, durably. What it replaces can be read as REPLACED until it is forgotten."""

    async def forget_replaced(self, repository: Repository) -> None:
        """Remove what was replaced, if it is there."""

    async def remove(self, repository: Repository) -> None:
        """Make the directory no layout any more, and remove it and those above it that are empty. Idempotent."""


@asynccontextmanager
async def alone(files: LayoutFiles, repository: Repository) -> AsyncIterator[None]:
    """Wait to be the only one, of all processes, that merges or exports the layout, and be it during the block."""
    while True:
        async with files.adopting(repository) as is_alone:
            if is_alone:
                yield
                return
        await asyncio.sleep(_POLL_S)
