"""Changes to manifests and tags, and the removal of empty repositories."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from zot.catalog.command import RepositoryCommand
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.oci.digest import Digest
from zot.oci.names import Tag


class Edge(msgspec.Struct, frozen=True):
    """A manifest's reference to content of its repository: one a digest, even if it names that twice."""

    digest: Digest
    media_type: str
    size: int
    child: bool = False
    """A manifest in an index (need not be there) rather than a blob."""
    optional: bool = False
    """A blob that need not be there (non-distributable layer)."""


class Refusal(StrEnum):
    """Why a tag is not changed."""

    MAY_NOT_CREATE = "may not create"
    MAY_NOT_MOVE = "may not move"
    IMMUTABLE = "immutable"
    ELSEWHERE = "points elsewhere"
    """It does not point where the caller expects it."""


class TagPosition(msgspec.Struct, frozen=True):
    """Where a tag points; None: there is no such tag."""

    digest: Digest | None = None


class TagMove(msgspec.Struct, frozen=True):
    """A tag to point at the manifest, and what the principal may do to it."""

    tag: Tag
    may_create: bool = True
    may_move: bool = True
    immutable: bool = False
    """It may be created, but not moved once it exists."""
    expected: TagPosition | None = None
    """Where it has to point before the move; None: anywhere."""

    def refusal(self, before: Digest | None, after: Digest) -> Refusal | None:
        """Return why the tag, now at `before` (None: nowhere), may not point to `after`. It may always stay."""
        if before == after:
            return None
        if self.expected is not None and before != self.expected.digest:
            return Refusal.ELSEWHERE
        if before is None:
            return None if self.may_create else Refusal.MAY_NOT_CREATE
        if not self.may_move:
            return Refusal.MAY_NOT_MOVE
        return Refusal.IMMUTABLE if self.immutable else None


class Stored(msgspec.Struct, frozen=True, tag=True):
    """The manifest is there, its tags point to it, durably."""

    created: bool
    """The manifest was not there before."""
    changes: tuple[tuple[Tag, Digest | None], ...]
    """Tags that did not point to it before, with what they pointed to."""


class MissingBlobs(msgspec.Struct, frozen=True, tag=True):
    """Not stored: the repository lacks these blobs."""

    digests: tuple[Digest, ...]


class TagRefused(msgspec.Struct, frozen=True, tag=True):
    """Nothing was changed: this tag may not be."""

    tag: Tag
    why: Refusal


class PutManifest(
    RepositoryCommand[Stored | MissingBlobs | TagRefused | OverQuota], frozen=True, kw_only=True, tag=True
):
    """Store a manifest and point the tags at it, in one step, if every blob that it needs is present.

    Durable. Stored creates the repository. A manifest that is there already stays as it was first stored, but that
    its `pushed_ns` is the time of this push if it had no tag and gets one, and that what is lost or damaged of its
    bytes is replaced by those given, which the caller has verified. Its mark and those of the blobs that it names are
    cleared; from this commit on they are referenced. Each tag that changes gets an entry in the tag log. What refuses
    it is looked for in this order: tags, `repositories_limit` (repositories count once they have a manifest), missing
    blobs, `quotas`; the limits refuse only what grows.
    """

    remembered: ClassVar[bool] = True
    digest: Digest
    content: bytes
    media_type: str
    artifact_type: str | None = None
    subject: Digest | None = None
    annotations: dict[str, str] = {}  # noqa: RUF012 (a struct makes a new one each)
    edges: tuple[Edge, ...] = ()
    tags: tuple[TagMove, ...] = ()
    quotas: tuple[RepositoryQuota, ...] = ()
    repositories_limit: int | None = None


class Deleted(msgspec.Struct, frozen=True, tag=True):
    """It is deleted, durably."""

    digest: Digest | None
    """None: of an entry of `index.json` that could not be read."""
    media_type: str
    tags: tuple[Tag, ...]
    """The tags that were deleted with it."""


class Absent(msgspec.Struct, frozen=True, tag=True):
    """There was nothing to delete."""


class TagsDiffer(msgspec.Struct, frozen=True, tag=True):
    """Not deleted: the manifest's tags, or its mark, are not those that the decision was made for; decide again."""

    tags: tuple[Tag, ...]


class Referenced(msgspec.Struct, frozen=True, tag=True):
    """Not deleted: these indexes of the repository list it."""

    by: tuple[Digest, ...]


class RemoveManifest(
    RepositoryCommand[Deleted | Absent | TagsDiffer | Referenced], frozen=True, kw_only=True, tag=True
):
    """Delete a manifest and its tags, if these are exactly `if_tags` (None: whatever they are).

    Its edges go with it: what only it referenced becomes garbage. An index's child is not deleted. Durable. Tags are
    looked at before references. With `marked_before_s` only if its mark by the collector's clock is not later
    than that, and its repository has nothing unread (else TagsDiffer). Carried entries of the digest go with it; one of
    which there is nothing else is deleted by that.
    """

    remembered: ClassVar[bool] = True
    digest: Digest
    if_tags: tuple[Tag, ...] | None = None
    marked_before_s: float | None = None


class MendManifest(RepositoryCommand[bool], frozen=True, kw_only=True, tag=True):
    """Replace bytes of a manifest that are lost or damaged by these, which the caller has verified. Durable.

    False: the manifest is not here. Nothing changes if the bytes are the same, else an export is due.
    """

    digest: Digest
    content: bytes


class TouchManifest(RepositoryCommand[bool], frozen=True, kw_only=True, tag=True):
    """Clear the mark of a manifest, so that a whole delay passes before it is collected. False: it is not here."""

    durable: ClassVar[bool] = False
    digest: Digest


class DeleteTag(RepositoryCommand[Deleted | Absent | TagRefused], frozen=True, kw_only=True, tag=True):
    """Delete a tag; the manifest stays, to be collected once nothing keeps it. Durable.

    With `if_digest`, only if it points there (else Absent); `immutable` refuses if the tag exists. Without it, carried
    entries of that name go, too.
    """

    remembered: ClassVar[bool] = True
    tag: Tag
    if_digest: Digest | None = None
    immutable: bool = False


class RestoreTag(RepositoryCommand[Stored | Absent | TagRefused], frozen=True, kw_only=True, tag=True):
    """Point a tag at a manifest that is still here. Durable. Absent: the manifest is not.

    It counts as a push: the manifest's `pushed_ns` is the time of the restore.
    """

    remembered: ClassVar[bool] = True
    digest: Digest
    move: TagMove


class RemoveRepository(RepositoryCommand[bool], frozen=True, kw_only=True, tag=True):
    """Forget a repository that has no manifest, blob (doomed too), carried entry, claim or open upload; else False.

    Its finished uploads and its tag log go with it. True also if there is none. Durable.
    """

    remembered: ClassVar[bool] = True
