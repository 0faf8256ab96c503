"""Changes by the import and export of layouts."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from zot.catalog.command import OwnedCommand, RepositoryCommand
from zot.catalog.manifest_commands import Edge
from zot.catalog.rows import CarriedEntry
from zot.oci.digest import Digest
from zot.oci.names import Tag


class LayoutManifest(msgspec.Struct, frozen=True):
    """A manifest that a layout holds."""

    digest: Digest
    content: bytes
    media_type: str
    artifact_type: str | None
    subject: Digest | None
    annotations: dict[str, str]
    edges: tuple[Edge, ...]
    pushed_ns: int
    whole: bool = True
    """Whether all that it names is known."""


class LayoutTag(msgspec.Struct, frozen=True):
    """A tag that a layout's index names. `if_digest`: taken only if the catalog's tag is there (None: only if new).

    Never taken if its manifest is not in the catalog: a tag points to a manifest that is there.
    """

    tag: Tag
    digest: Digest
    if_digest: Digest | None = None
    written: str | None = None
    """The name as the layout has it, if it is not the tag itself."""


class LayoutBlob(msgspec.Struct, frozen=True):
    """A file below `blobs/` of a layout."""

    digest: Digest
    size: int


class ImportLayout(RepositoryCommand[tuple[Tag, ...]], frozen=True, kw_only=True, tag=True):
    """Import a part of a layout. Idempotent: what is there already stays. Creates the repository.

    Blobs become present, manifests are stored with their edges whether or not all their blobs are there, entries are
    carried from then on (repeated: as they are now), and tags are set by their condition; returns the tags that do not
    point where the layout has them. Once a manifest is stored, carried entries of its digest count as read: they stay
    if they have a name that no tag there stands for. A doomed blob stays doomed. Parts are small (some hundred
    entries), so that no other command waits long. With `complete` the repository is imported from then on. An import
    makes an export due like any other change: `FinishExport` records that the layout shows it already.
    """

    blobs: tuple[LayoutBlob, ...] = ()
    manifests: tuple[LayoutManifest, ...] = ()
    carried: tuple[CarriedEntry, ...] = ()
    dropped: tuple[str, ...] = ()
    """Keys of entries that are not carried any more, because another program removed them with what they list."""
    tags: tuple[LayoutTag, ...] = ()
    complete: bool = False


class BeginExport(OwnedCommand[bool], frozen=True, kw_only=True, tag=True):
    """Record the sha256 of an `index.json` that is staged and synced, before it is renamed into place.

    False: the repository is not imported or gone, and must not be exported. Durable.
    """

    digest: str


class FinishExport(RepositoryCommand[None], frozen=True, kw_only=True, tag=True):
    """Record that the layout shows `revision`: `digest` and `signature` are those of the file in place.

    It ends the intent. An older revision than the recorded one changes nothing.
    """

    durable: ClassVar[bool] = False
    revision: int
    digest: str
    signature: str


class QueueExport(RepositoryCommand[None], frozen=True, kw_only=True, tag=True):
    """Make an export due, by a new revision: the layout was seen to lack what the catalog has."""

    durable: ClassVar[bool] = False
