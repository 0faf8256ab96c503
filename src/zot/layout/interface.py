"""The interface of layouts: which ones there are in a store, and the `index.json` of each.

Content belongs to the storage. The files here have no digest as their name, are replaced as a whole, and may be written
by other programs at any moment, in place or by renaming: a reader copes with half of a file, and a writer that replaces
one looks at the file that it replaced. In an object store they are objects, which are never half written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
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
"""The largest `index.json` that is read: about a million tags."""


class IndexVersion(StrEnum):
    """The two versions of a layout's `index.json` that can be read."""

    CURRENT = "current"
    REPLACED = "replaced"
    """The one before the last `place`, until `forget_replaced`."""


class FileSignature(NamedTuple):
    """What a file is recognised by without reading it. Renaming keeps it."""

    size: int
    version: int
    """Its inode; of an object a number made of its version."""
    modified_ns: int
    """0 of an object: its version is enough."""


class IndexSignatures(NamedTuple):
    """The signatures of both versions of an `index.json`, None for one that is missing."""

    current: FileSignature | None
    replaced: FileSignature | None


class IndexFile(NamedTuple):
    """A parsed `index.json`."""

    parsed: Index
    digest: str
    """Its sha256, in hexadecimal digits."""
    signature: FileSignature


class StagedIndex(NamedTuple):
    """A new `index.json` before it is placed: in a file, or in memory."""

    digest: str
    """Its sha256, in hexadecimal digits."""
    signature: FileSignature | None = None
    """That of the file."""
    content: bytes = b""
    """All of it, if it is in memory."""


class Replacement(NamedTuple):
    """An `index.json` that is to be replaced."""

    staged: StagedIndex
    seen: FileSignature | None
    """The signature of the one that is replaced, None for none."""


class Placed(NamedTuple):
    """An `index.json` that was placed, and replaced another."""

    signature: FileSignature
    over_another: bool = False
    """Another program wrote the replaced one at the last moment: it can be read as REPLACED."""


class FoundIndex(NamedTuple):
    """A locked layout's `index.json`, if it is small."""

    signatures: IndexSignatures
    content: bytes
    """Empty if it is missing."""


class IndexScan(Protocol):
    """An `index.json` that is being read."""

    signature: FileSignature
    """Taken before the bytes are read, and so older than bytes that change concurrently."""
    head: IndexHead
    """Known once all descriptors are read."""
    digest: str
    """The sha256 of the bytes; known once all descriptors are read."""

    def descriptors(self) -> AsyncIterator[list[bytes]]:
        """Iterate over the descriptors in their order and as they are written, in batches of some hundred.

        Raises InvalidLayoutError if the file is torn or not an index.
        """


class ContentFile(NamedTuple):
    """A small content file whose bytes have the digest of its name."""

    content: bytes
    modified_ns: int


class LayoutScan(NamedTuple):
    """A store that is scanned for the work of other programs, and how."""

    files: LayoutFiles
    has: Callable[[Repository], bool]
    """Whether a repository is in this store."""
    interval_s: float = 60.0
    imports_at_once: int = 1
    checks_first: bool = True
    """False: known repositories are checked from the second scan on."""


class LayoutFiles(Protocol):
    """The layouts of a store. Every method raises StorageError when the storage fails."""

    def scans(self) -> Sequence[LayoutScan]:
        """Return the parts of the store that are scanned apart; each repository is in one of them."""

    async def restore_content(self, repository: Repository | None = None) -> None:
        """Give empty objects that stand for the content of another repository that content, in one or in all.

        A file system has none: there two names are links to one file. Idempotent.
        """

    async def ready(self, repository: Repository) -> None:
        """Raise StorageError unless the store is the expected one and the repository's directory is its own.

        It is not its own where a symbolic link leads to a directory that has another name in the store.
        """

    def repositories(self) -> AsyncIterator[Repository]:
        """Iterate over the names of all layouts, in no order. Other tasks run between batches.

        A directory is a layout if it has `index.json` and `oci-layout`. Directories whose names no repository can have
        (the `blobs` of a layout, `.uploads`, `_trivy`) are skipped; a layout among them is named in the log. Symbolic
        links to directories are followed, unless the directory has another name below the root.
        """

    async def is_removed(self, repository: Repository) -> bool:
        """Return whether the repository's directory is missing below an existing root, or has no object.

        False where a symbolic link leads to it: the disk behind the link may be absent.
        """

    def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that cannot be repositories because of their names or places, with the reasons."""

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what occupies the path of a file of a new layout of that name, or None; None for a layout."""

    async def existing(self, names: Sequence[Repository]) -> list[Repository]:
        """Return the names that are layouts."""

    async def signature(
        self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT
    ) -> FileSignature | None:
        """Return the signature of an `index.json`, or None if it is missing."""

    async def signatures(self, repository: Repository) -> IndexSignatures:
        """Return the signatures of the current and of the replaced `index.json`."""

    async def all_signatures(self, repositories: Sequence[Repository]) -> Mapping[Repository, IndexSignatures]:
        """Return the signatures of several layouts.

        Left out: those that cannot be read or are not their own (see `ready`).
        """

    async def load(self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT) -> IndexFile | None:
        """Return a parsed `index.json`, or None if it is missing.

        Raises InvalidLayoutError if it is torn, not an index, or has more than INDEX_LIMIT_BYTES.
        """

    def read(self, repository: Repository) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes of `index.json` in pieces; over nothing if it is missing."""

    async def contents(
        self, repository: Repository, digests: Sequence[Digest], limit_bytes: int
    ) -> list[ContentFile | Unread]:
        """Return content files of at most `limit_bytes`, or the reasons why they cannot be read.

        Returns at least one, but possibly fewer than `digests`, so that few large ones are in memory at once.
        """

    async def content_changed(self, repository: Repository) -> tuple[int, ...]:
        """Return a value that changes when a content file is added or removed."""

    def scan(self, repository: Repository) -> AbstractAsyncContextManager[IndexScan | None]:
        """Open an `index.json` of any writer to read it once, piece by piece; None if it is missing.

        Raises InvalidLayoutError if it is not a regular file, or has more than INDEX_LIMIT_BYTES.
        """

    def lock(self, repository: Repository) -> AbstractAsyncContextManager[bool]:
        """Lock the layout against import, merge and export by other processes; yield False if one holds the lock.

        Yields True if there is nothing that could be locked, and so nothing to import. The lock ends with the block or
        the process.
        """

    def lock_small(
        self, repositories: Sequence[Repository], limit_bytes: int
    ) -> AbstractAsyncContextManager[Mapping[Repository, FoundIndex]]:
        """Lock layouts whose `index.json` has at most `limit_bytes` or is missing, and read it.

        Left out: those that another process locks, whose `index.json` is larger, or that cannot be read or are not
        their own (see `ready`). The locks end with the block or the process.
        """

    async def stage_all(self, indexes: Mapping[Repository, bytes]) -> Mapping[Repository, StagedIndex]:
        """Stage new small files as `stage` does, with their syncs shared. If it raises, some may be staged."""

    async def place_all(self, replacements: Mapping[Repository, Replacement]) -> Mapping[Repository, Placed]:
        """Replace several files as `place` does, with their syncs shared. If it raises, some may be placed.

        Left out: those whose current file is not the one that was seen.
        """

    async def stage(self, repository: Repository, content: AsyncIterator[bytes]) -> StagedIndex:
        """Stage a new `index.json`, replacing an earlier staged one. If it raises, nothing is staged.

        On a file system it is written durably beside the current one, in a directory that is created if it is missing.
        """

    async def place(self, repository: Repository, staged: StagedIndex, seen: FileSignature | None) -> Placed | None:
        """Replace the `index.json` that was `seen`, None for none, by the one staged last. Durable.

        Returns None if the current one is another one: nothing is changed then. The directory becomes an image layout
        if it was not one. A replaced file that was not seen is kept as REPLACED until it is forgotten, where the file
        system has hard links.
        """

    async def forget_replaced(self, repository: Repository) -> None:
        """Remove the replaced `index.json`. Durable and idempotent."""

    async def remove(self, repository: Repository) -> None:
        """Remove the layout's own files, then its directory and those above it that are empty. Idempotent."""

    async def close(self) -> None:
        """Release all connections."""


@asynccontextmanager
async def locked(files: LayoutFiles, repository: Repository) -> AsyncIterator[None]:
    """Wait for the layout's lock and hold it during the block."""
    while True:
        async with files.lock(repository) as is_locked:
            if is_locked:
                yield
                return
        await asyncio.sleep(_POLL_S)
