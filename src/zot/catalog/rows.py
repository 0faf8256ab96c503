"""The rows that reads of the catalog return."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from zot.catalog.blob_commands import Disposal
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag


class RepositoryRow(msgspec.Struct, frozen=True):
    """A repository that exists."""

    name: Repository
    imported: bool
    """Whether all of its layout is in the catalog: only then is an absence an absence."""
    bytes: int
    """Sizes of its present blobs and its manifests; a digest that is both counts once."""
    revision: int
    """Grows with each change of its manifests and tags: what its layout has to show."""
    exported: int
    """The revision that its layout shows; less than `revision`: an export is due."""


class ManifestRow(msgspec.Struct, frozen=True):
    """A manifest that a reference resolves to."""

    digest: Digest
    media_type: str
    size: int
    marked: bool = False
    """A sweep found that nothing keeps it: a reader that relies on it has to touch it."""


class ManifestDetails(msgspec.Struct, frozen=True):
    """All that is known of a manifest, besides its content."""

    digest: Digest
    media_type: str
    size: int
    artifact_type: str | None
    subject: Digest | None
    pushed_ns: int
    pushed_by: str
    tags: tuple[Tag, ...]
    whole: bool = True
    """Whether all that it names is known. If not, nothing of its repository is collected."""
    carried: bool = False
    """An entry of `index.json` that is carried along lists it."""


class Unread(StrEnum):
    """Why a manifest that a layout lists could not be read."""

    DESCRIPTOR = "its descriptor cannot be read"
    MISSING = "its file is missing"
    DAMAGED = "its file has not the digest of its name"
    TOO_LARGE = "it is larger than a manifest may be"


class CarriedEntry(msgspec.Struct, frozen=True):
    """An entry of `index.json` that tags and manifests do not express; exports write it as it was read."""

    key: str
    """A digest of what the entry says: what tells it from others of its repository."""
    line: bytes
    """The descriptor, in JSON without line breaks; empty for a manifest that an index lists, not `index.json`."""
    digest: Digest | None = None
    """None: it cannot be read."""
    name: str | None = None
    """The `ref.name` annotation."""
    media_type: str = ""
    unread: Unread | None = None
    """None: the manifest is in the catalog, and the entry is here because of a name that is no tag or is taken."""


class TagRow(msgspec.Struct, frozen=True):
    """A tag, in the order of names."""

    name: Tag
    digest: Digest
    created_ns: int
    """When the name appeared; kept when the tag moves."""
    moved_ns: int
    by: str
    written: str | None = None
    """The name that the layout gives it, if that is not the tag itself: `docker.io/library/alpine:3.20`."""


class BlobRow(msgspec.Struct, frozen=True):
    """A present blob."""

    size: int
    media_type: str | None
    """The type that a manifest of the repository gives it, the oldest one that does."""
    marked: bool
    """A sweep found it unreferenced: a reader that relies on it has to touch it."""
    placed_ns: int = 0
    """When it became present: a blob that was removed and pushed again has a later time."""
    held: bool = False
    """The catalog holds its bytes: its file may not be in the layout yet."""


class ReferrerRow(msgspec.Struct, frozen=True):
    """A manifest whose subject was asked for."""

    digest: Digest
    media_type: str
    size: int
    artifact_type: str | None
    annotations: dict[str, str]


class UploadRow(msgspec.Struct, frozen=True):
    """An upload session."""

    session: str
    repository: Repository
    principal: str
    epoch: int
    """Grows with each request that takes the session; a smaller one was fenced off."""
    offset: int
    """Bytes received and recorded: the truth, whatever the staged file's length."""
    algorithm: str
    prefix: Digest | None
    """Digest of the first `offset` bytes, by `algorithm`, if the request that recorded them knew it."""
    recorded_by: str
    """The owner that recorded `prefix`. Where a machine can lose staged bytes, `prefix` counts for this owner only."""
    updated_ns: int
    finished: Digest | None
    """The digest that it was finished as; such a row answers a repeated finish and nothing else."""
    client: str = ""
    """The client whose limit on open sessions it counts against."""
    driver_state: bytes = b""
    """What the storage needs to find the staged bytes again; the catalog only keeps it."""


class UnreferencedBlob(msgspec.Struct, frozen=True):
    """A present blob that nothing references."""

    digest: Digest
    size: int
    marked_s: float | None
    """The collector's own clock, in seconds, when a sweep found it so; cleared when it is touched."""


class DanglingManifest(msgspec.Struct, frozen=True):
    """A manifest that nothing keeps: no tag, no index of its repository, and no subject that is here."""

    digest: Digest
    media_type: str
    size: int
    subject: Digest | None
    pushed_ns: int
    marked_s: float | None
    """The collector's own clock, in seconds, when a sweep found it so; cleared when it is touched."""


class PendingDelete(msgspec.Struct, frozen=True):
    """A doomed blob: its delete is decided, its content is to be removed, then its row."""

    repository: Repository
    digest: Digest
    token: str
    owner: str
    """The owner that removes the content; empty if an earlier version decided the delete."""
    abandoned: bool = False
    """Whether the owner's lease has ended: another owner takes the delete over (`TakePendingDelete`)."""
    disposal: Disposal = Disposal.UNLINK
    """What is done with the content; an earlier version always unlinked it."""


class ExportRow(msgspec.Struct, frozen=True):
    """How a repository's layout stands to the catalog."""

    repository: Repository
    revision: int
    exported: int
    digest: str | None
    """sha256 of the `index.json` last exported."""
    signature: str | None
    """Its size, inode and modification time, as text: different means look again, not changed."""
    intent: str | None
    """sha256 of the `index.json` that was about to be renamed into place; ours too, if a crash came between."""


class HeldBlob(msgspec.Struct, frozen=True):
    """A blob whose bytes the catalog holds."""

    digest: Digest
    placed_ns: int
    content: bytes


class LayoutSnapshot(msgspec.Struct, frozen=True):
    """All that the layout of a small repository has to show, at one moment."""

    export: ExportRow
    shown_ns: int
    """The time of the last tag change, 0 for none."""
    tags: Sequence[TagRow]
    """In the order of names."""
    manifests: Sequence[ManifestDetails]
    """In the order of digests."""
    carried: Sequence[CarriedEntry]
    """In the order of keys."""
    held: Sequence[HeldBlob]


class UsageRow(msgspec.Struct, frozen=True):
    """Counts of one repository."""

    repository: Repository
    bytes: int
    tags: int
    manifests: int
    blobs: int
    unread: int = 0
    """Entries of `index.json` and manifests that could not be read, or not whole: they keep all of it."""
