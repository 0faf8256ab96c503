"""The interface of file lists: which files layers have, what an image's root directory looks like, and their content.

A list is made of a layer's archive once, in the background, when a page first asks for it; until then its status says
so. Lists are by digest, and manifests may name layers that their repository does not hold: callers ask for layers of a
repository that the visitor may read, and of one that it does not hold nothing is told. Names in archives are any bytes:
paths are bytes here, with `/` between names and none at the beginning, and `b""` is the root directory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import IntEnum
from typing import Protocol

import msgspec

from zot.oci.digest import Digest
from zot.oci.names import Repository


class LayersUnavailableError(Exception):
    """The lists cannot be read or written now, or too many are waiting. It may pass."""


class LayerContentError(Exception):
    """A file cannot be read from its layer: the layer is not here, damaged, or other than its list says."""


class ListStatus(IntEnum):
    """How far the list of a layer is."""

    WAITING = 0
    """It will be made, or is being made."""
    MADE = 1
    FAILED = 2
    """It cannot be made; `LayerList.note` says why."""
    MISSING = 3
    """The registry does not have the layer: its bytes are elsewhere, or were deleted."""


class LayerFileKind(IntEnum):
    """What an entry of an archive is."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    HARD_LINK = 3
    CHARACTER_DEVICE = 4
    BLOCK_DEVICE = 5
    FIFO = 6
    OTHER = 7
    WHITEOUT = 8
    """It deletes the path from the layers below."""
    OPAQUE = 9
    """It deletes what the layers below have in the directory."""


IMPLIED_MODE = -1
"""The mode of a directory that the archive has in paths only."""


class LayerFile(msgspec.Struct, frozen=True, array_like=True):
    """An entry of a layer's list."""

    path: bytes
    kind: LayerFileKind
    size: int = 0
    mode: int = 0
    """Permission bits, or `IMPLIED_MODE`."""
    uid: int = 0
    gid: int = 0
    user: bytes = b""
    group: bytes = b""
    modified_s: int = 0
    target: bytes = b""
    """Of a symlink, as it is written; of a hard link, the path in the same layer; of a device, its numbers."""
    offset: int | None = None
    """Where the bytes of a file begin in the uncompressed layer; None: it has none, or they are not in one piece."""
    sha256: bytes = b""
    """The hash of a file's bytes; empty: unknown."""


class LayerList(msgspec.Struct, frozen=True):
    """What is known of the list of a layer."""

    digest: Digest
    status: ListStatus
    compression: str = ""
    """`gzip`, `zstd` or `none`."""
    files: int = 0
    size: int = 0
    """Of the uncompressed archive, as far as it was read."""
    note: str = ""
    """Why the list has not all files, or was not made; empty: it is complete."""


class ImageFile(msgspec.Struct, frozen=True):
    """A file, and the layer that it comes from."""

    file: LayerFile
    layer: int
    """Its position among the layers, 0 is the lowest."""
    hidden_by: int | None = None
    """The layer that deletes or replaces it; None: it is in the image."""


class FilePage(msgspec.Struct, frozen=True):
    """A page of files in the order of paths, and how many there are."""

    total: int
    rows: tuple[ImageFile, ...]
    partial: bool = False
    """There are more than were counted."""


class FileChange(msgspec.Struct, frozen=True):
    """A path that two images do not have alike."""

    path: bytes
    before: LayerFile | None
    """None: the first image lacks it."""
    after: LayerFile | None
    """None: the second image lacks it."""


class FileComparison(msgspec.Struct, frozen=True):
    """In which files two images differ."""

    added: int
    removed: int
    changed: int
    rows: tuple[FileChange, ...]
    """A page of them, in the order of paths."""
    partial: bool = False
    """There are more than were compared."""

    @property
    def total(self) -> int:
        """Return the number of differences."""
        return self.added + self.removed + self.changed


class LayerFiles(Protocol):
    """Answers questions about the files of layers. None blocks the event loop.

    `layers` are the digests of an image's layers, the lowest first, whose lists are made. Those that the repository
    does not hold count as empty. All raise LayersUnavailableError.
    """

    async def lists(self, repository: Repository, layers: Sequence[Digest]) -> list[LayerList]:
        """Return the state of each list, in order; ask for those that are not made yet. Idempotent."""

    async def directory(
        self, repository: Repository, layers: Sequence[Digest], path: bytes, offset: int, limit: int
    ) -> FilePage | None:
        """Return a page of a directory of the image; None: it has no such directory.

        With one layer it shows what that layer deletes as well.
        """

    async def file(self, repository: Repository, layers: Sequence[Digest], path: bytes) -> ImageFile | None:
        """Return what the image has at a path; None: nothing. The root is a directory of every image."""

    async def find(
        self, repository: Repository, layers: Sequence[Digest], text: bytes, offset: int, limit: int
    ) -> FilePage:
        """Return a page of the files of all layers whose path contains a text, in any case of ASCII letters.

        Those that a higher layer deletes or replaces are among them, and say so.
        """

    async def compare(
        self, repository: Repository, before: Sequence[Digest], after: Sequence[Digest], offset: int, limit: int
    ) -> FileComparison:
        """Return a page of the paths in which two images differ. Times of changes are not compared."""

    def open(
        self, repository: Repository, layer: Digest, file: LayerFile
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the bytes of a file for reading in pieces; those before it in its layer are decompressed and dropped.

        Raises LayerContentError, also while it is read, LayersUnavailableError, StorageError.
        """
