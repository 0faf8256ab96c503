"""The catalog: what exists, decided in one place.

Reads see every change that was answered before they began. Lists come in byte order, after a key and up to a limit,
never more than `PAGE_LIMIT` rows, and fewer than either only at their end; time is the catalog's own, in nanoseconds
since the epoch, and later in each entry of a tag's log than in the one before. A driver that cannot be reached raises
CatalogUnavailableError: nothing is known of the outcome then, and the same command may be given again.

    CatalogError
    ├── CatalogUnavailableError (it may pass; the outcome is unknown)
    ├── CatalogFullError (nothing was changed)
    ├── LeaseEndedError (nothing was changed: the owner's lease has ended)
    └── CatalogUnusableError (it cannot be opened; an operator has to act)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from zot.catalog.change_log import ChangeCursor, ChangePage, TagChange
from zot.catalog.command import Command
from zot.catalog.rows import (
    BlobRow,
    CarriedEntry,
    DanglingManifest,
    ExportRow,
    LayoutSnapshot,
    ManifestDetails,
    ManifestRow,
    PendingDelete,
    ReferrerRow,
    RepositoryRow,
    TagRow,
    UnreferencedBlob,
    UploadRow,
    UsageRow,
)
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag

PAGE_LIMIT = 1000

Outcome = TypeVar("Outcome")


class CatalogError(Exception):
    """The catalog failed. Unless a subclass says otherwise the command changed nothing, and would fail again."""


class CatalogUnavailableError(CatalogError):
    """The catalog cannot be reached now. The outcome of a command is unknown."""


class CatalogFullError(CatalogError):
    """There is no room for the change: nothing was changed. The same command may succeed once there is."""


class LeaseEndedError(CatalogError):
    """The lease of the owner has ended, and others may hold what it held: nothing was changed. It does not pass."""


class CatalogUnusableError(CatalogError):
    """The catalog cannot be opened as it is; the message says why, and what would be right."""


class Catalog(Protocol):
    """What exists. Reads are cheap enough for the event loop; changes are commands."""

    owner: str
    """The owner for which this process gives owned commands: the start of the server that it is part of."""

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change and return its outcome, once it is as durable as the command's class says.

        Raises CatalogUnavailableError when the outcome is unknown, CatalogFullError, LeaseEndedError or CatalogError
        when nothing was changed.
        """

    async def repository(self, repository: Repository) -> RepositoryRow | None:
        """Return the repository, None if there is none."""

    async def repositories(self, after: str, limit: int) -> Sequence[Repository]:
        """Return names greater than `after`."""

    async def resolve(self, repository: Repository, reference: Reference) -> ManifestRow | None:
        """Return the manifest that a tag or digest stands for."""

    async def manifest_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Return the bytes of a manifest."""

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestDetails | None:
        """Return what is known of a manifest, with its tags."""

    async def manifests(self, repository: Repository, after: str, limit: int) -> Sequence[ManifestDetails]:
        """Return manifests with digests greater than `after`."""

    async def tags(self, repository: Repository, after: str, limit: int) -> Sequence[TagRow]:
        """Return tags with names greater than `after`."""

    async def tag(self, repository: Repository, tag: Tag) -> TagRow | None:
        """Return a tag."""

    async def tag_log(self, repository: Repository, tag: Tag | None, before: int | None, limit: int) -> list[TagChange]:
        """Return changes of one tag or of all, newest first, with sequence numbers less than `before`.

        They are the tags' entries of the change log since the repository was created.
        """

    async def changes(self, after: ChangeCursor | None, limit: int) -> ChangePage:
        """Return entries of the change log that follow a cursor, oldest first.

        Sequence numbers grow in the order of commits: no entry ever appears before one that a reader has seen. (A
        driver with several writers numbers entries where commits are ordered, or withholds those that follow an open
        commit.) If entries are missing between `after` and the oldest that is kept, or the log does not know `after`,
        the page says so (`gap`); so it does for a reader without a cursor. Polling costs a microsecond while nothing
        was committed.
        """

    async def referrers(
        self, repository: Repository, subject: Digest, artifact_types: Sequence[str], after: str, limit: int
    ) -> Sequence[ReferrerRow]:
        """Return manifests whose subject this is, with digests greater than `after`; all types if none is named."""

    async def blob(self, repository: Repository, digest: Digest) -> BlobRow | None:
        """Return a present blob."""

    async def blobs(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, int]]:
        """Return present blobs, digest and size, with digests greater than `after`."""

    async def held_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Return the bytes of a present blob that the catalog holds; None: its file has them."""

    async def held_blobs(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, int]]:
        """Return held blobs, digest and `placed_ns`, with digests greater than `after`."""

    async def repositories_with(self, digest: Digest, after: str, limit: int) -> Sequence[Repository]:
        """Return repositories in which the blob is present, with names greater than `after`.

        It may lag behind changes: a caller has to expect that the blob is gone.
        """

    async def upload(self, session: str) -> UploadRow | None:
        """Return an upload session, finished ones included."""

    async def uploads(self, idle_s: float, after: str, limit: int) -> Sequence[UploadRow]:
        """Return sessions, finished ones too, with ids greater than `after` that nothing happened to for so long."""

    async def unreferenced_blobs(self, repository: Repository, after: str, limit: int) -> Sequence[UnreferencedBlob]:
        """Return present blobs that nothing references, with digests greater than `after`. Cost grows with these."""

    async def dangling_manifests(self, repository: Repository, after: str, limit: int) -> Sequence[DanglingManifest]:
        """Return manifests that nothing keeps, with digests greater than `after`. Cost grows with these."""

    async def doomed(self, limit: int) -> Sequence[PendingDelete]:
        """Return pending deletes: blobs that are doomed and not yet forgotten, abandoned ones first."""

    async def export(self, repository: Repository) -> ExportRow | None:
        """Return how the repository's layout stands."""

    async def exports_due(self, limit: int) -> Sequence[Repository]:
        """Return imported repositories whose layout does not show all changes, longest due first."""

    def one_moment(self) -> AbstractContextManager[None]:
        """Have the reads of the block see one state of each repository that they read.

        The block must not wait for anything but reads, since a driver may have one block at a time. It raises
        CatalogUnavailableError, at its end too: then what was read is not of one state.
        """

    async def layout_snapshot(self, repository: Repository, limit: int, limit_bytes: int) -> LayoutSnapshot | None:
        """Return all that a repository's layout has to show, read at one moment.

        None: it is not imported, does not exist, or has more than `limit` tags, manifests, carried entries or held
        blobs, or more than `limit_bytes` of held bytes.
        """

    async def carried(self, repository: Repository, after: str, limit: int) -> Sequence[CarriedEntry]:
        """Return entries of the repository's `index.json` that are carried along, with keys greater than `after`."""

    async def carried_as(self, repository: Repository, reference: Reference) -> Sequence[CarriedEntry]:
        """Return carried entries of that digest, or of exactly that name: read ones first, a page at most."""

    async def absent_children(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, str]]:
        """Return what indexes list and is no manifest of the repository, with the media type, after a digest.

        Its cost grows with all that the repository's manifests name.
        """

    async def unread(self, repository: Repository) -> bool:
        """Tell whether the repository has something unread: then nothing of it is collected."""

    async def usage(self, after: str, limit: int) -> Sequence[UsageRow]:
        """Return counts of repositories with names greater than `after`."""

    async def ready(self) -> None:
        """Raise CatalogUnavailableError while it cannot be read, or while nothing can be changed; CatalogError."""

    async def close(self) -> None:
        """Finish what was begun and close everything. Afterwards nothing else may be called."""
