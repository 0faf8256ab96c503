"""Every change to what exists, as a value.

A command touches one repository (`BeginUpload` creates it), is done whole or not at all, and states in its outcome
what happened; conditions are part of it, so that no race can come between looking and changing. `durable` commands
survive power loss once answered; the others survive the death of every process, but may be lost with the machine.

Commands carry an id. One whose outcome is unknown (a timeout, a writer that died) is given again with the same id:
either it does no harm to do it again, or the catalog remembers the outcome (`remembered`) for `REMEMBERED_S` and
answers that. Whatever moves a tag is remembered, so that no repetition undoes a change that came between.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Generic, TypeVar
from uuid import uuid4

import msgspec

from zot.catalog.quotas import NoRoom, Quota
from zot.catalog.rows import UploadRow
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

Outcome_co = TypeVar("Outcome_co", covariant=True)

REMEMBERED_S = 60
"""How long outcomes are remembered: longer than anybody repeats a command."""


def new_id() -> str:
    """Return an id that no other command, claim or session has."""
    return uuid4().hex


def removal_token(boot: str) -> str:
    """Return a new token of a removal, which says in which start of the server it was decided.

    Of any other start nobody lives who might unlink late, so that its removals can be finished.
    """
    return f"{boot}-{new_id()}"


def boot_of(token: str) -> str:
    """Return the start of the server in which a removal was decided."""
    return token.partition("-")[0]


class Command(msgspec.Struct, Generic[Outcome_co], frozen=True, kw_only=True, tag=True):
    """A change. The type parameter is the type of its outcome."""

    durable: ClassVar[bool] = True
    remembered: ClassVar[bool] = False
    id: str = msgspec.field(default_factory=new_id)
    repository: Repository


# --- Blobs: absent -> claimed -> present -> doomed -> absent; only `present` is visible ---


class Claim(StrEnum):
    """What came of a claim."""

    CLAIMED = "claimed"
    PRESENT = "present"
    """It is there already, its stamp is cleared: nothing to publish."""
    DOOMED = "doomed"
    """It is being removed: try again in some milliseconds."""


class ClaimBlob(Command[Claim], frozen=True, kw_only=True, tag=True):
    """Announce that a file of this digest is about to be published under `token`. CLAIMED creates the repository.

    Again with the same token: the same claim. Several claims of one digest stand beside each other, each with its own
    token; while one stands, nothing dooms the blob. Claims are dropped at the start of the server.
    """

    durable: ClassVar[bool] = False
    digest: Digest
    token: str


class Published(StrEnum):
    """What came of publishing."""

    PRESENT = "present"
    CLAIM_LOST = "claim lost"
    """The claim does not stand any more (the server was restarted between): claim and publish again."""


class PublishBlob(Command[Published | NoRoom], frozen=True, kw_only=True, tag=True):
    """Make a claimed blob present: its file is in place and synced. Durable; then 201 may be answered.

    With `session`, that upload of the repository is finished in the same commit, and keeps its row for a repeated
    finish. If the blob is present already (by another's doing, or this is a repetition) it stays so whether or not the
    claim stands, its stamp cleared. NoRoom: one of the `quotas` would be exceeded. The claim is gone afterwards,
    whatever the outcome.
    """

    digest: Digest
    token: str
    size: int
    session: str | None = None
    quotas: tuple[Quota, ...] = ()


class CheckRoom(Command[NoRoom | None], frozen=True, kw_only=True, tag=True):
    """Tell whether `quotas` have room for a blob of that size now, and change nothing. None: they have.

    What is here already needs none. It is asked of the writer, who alone knows what many repositories hold together.
    """

    durable: ClassVar[bool] = False
    digest: Digest
    size: int
    quotas: tuple[Quota, ...]


class DropClaim(Command[None], frozen=True, kw_only=True, tag=True):
    """Take a claim back: the file was not published."""

    durable: ClassVar[bool] = False
    digest: Digest
    token: str


class TouchBlob(Command[bool], frozen=True, kw_only=True, tag=True):
    """Clear the stamp of a present blob, so that a whole delay passes before it is collected. False: not present.

    Durable only as far as the stamp: losing it together with the machine loses the process that promised, too.
    """

    durable: ClassVar[bool] = False
    digest: Digest


class Doom(StrEnum):
    """What came of dooming."""

    DOOMED = "doomed"
    ABSENT = "absent"
    REFERENCED = "referenced"
    """A manifest names it (or it is itself the content of a manifest that is here)."""
    CLAIMED = "claimed"
    """A push is about to publish it, or it was touched since it was stamped."""


class DoomBlob(Command[Doom], frozen=True, kw_only=True, tag=True):
    """Decide that a present, unreferenced, unclaimed blob goes; it is invisible from then on. Unlink, then forget.

    With `stamped_before_s` only if it carries a stamp of the collector's clock not later than that (else CLAIMED).
    Again with the same token: DOOMED; doomed under another one it is ABSENT already. With `stray` it is a digest
    without a row that is doomed, since a file is there that nobody knows, and no present blob (CLAIMED). With `damaged`
    a blob goes although it is referenced, because its bytes are not its digest's any more: once it is forgotten it is
    missing where it is named, and whoever pushes it again heals that.
    """

    digest: Digest
    token: str
    stamped_before_s: float | None = None
    stray: bool = False
    damaged: bool = False


class ForgetBlob(Command[None], frozen=True, kw_only=True, tag=True):
    """Remove the row of a blob doomed under `token`: its file is unlinked. It may be claimed again from then on."""

    digest: Digest
    token: str


class StampGarbage(Command[int], frozen=True, kw_only=True, tag=True):
    """Stamp what nothing keeps and has no stamp yet with `now_s`; return how much that was.

    It is the repository's present, unreferenced, unclaimed blobs, and its manifests without a tag, an index that lists
    them, or a subject that is here. At most `limit` at once, blobs first, each in the order of digests: as many as
    that means call again. What is named again loses its stamp.
    """

    durable: ClassVar[bool] = False
    now_s: float
    limit: int = 1000


# --- Manifests and tags ---


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


class TagMove(msgspec.Struct, frozen=True):
    """A tag to point at the manifest, and what the principal may do to it."""

    tag: Tag
    may_create: bool = True
    may_move: bool = True
    immutable: bool = False
    """It may be created, but once it is there it stays at its digest."""

    def refusal(self, before: Digest | None, after: Digest) -> Refusal | None:
        """Tell why the tag, now at `before` (None: nowhere), may not point to `after`. It may stay where it is."""
        if before is None:
            return None if self.may_create else Refusal.MAY_NOT_CREATE
        if before == after:
            return None
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


class PutManifest(Command[Stored | MissingBlobs | TagRefused | NoRoom], frozen=True, kw_only=True, tag=True):
    """Store a manifest and point the tags at it, in one step, if every blob that it needs is present.

    Durable. Stored creates the repository. A manifest that is there already stays as it was first stored. Its stamp
    and those of the blobs that it names are cleared; from this commit on they are referenced. Each tag that changes
    gets an entry in the tag log. What refuses it is looked for in this order: tags, `repositories_limit`
    (repositories count once they have a manifest), missing blobs, `quotas`; the limits refuse only what grows.
    """

    remembered: ClassVar[bool] = True
    digest: Digest
    content: bytes
    media_type: str
    artifact_type: str | None = None
    subject: Digest | None = None
    annotations: dict[str, str] = {}
    edges: tuple[Edge, ...] = ()
    tags: tuple[TagMove, ...] = ()
    by: str = ""
    quotas: tuple[Quota, ...] = ()
    repositories_limit: int | None = None


class Deleted(msgspec.Struct, frozen=True, tag=True):
    """It is gone, durably."""

    digest: Digest
    media_type: str
    tags: tuple[Tag, ...]
    """The tags that went with it."""


class Absent(msgspec.Struct, frozen=True, tag=True):
    """There was nothing to delete."""


class TagsDiffer(msgspec.Struct, frozen=True, tag=True):
    """Not deleted: the manifest's tags, or its stamp, are not what the decision was made for; decide again."""

    tags: tuple[Tag, ...]


class Referenced(msgspec.Struct, frozen=True, tag=True):
    """Not deleted: these indexes of the repository list it."""

    by: tuple[Digest, ...]


class DeleteManifest(Command[Deleted | Absent | TagsDiffer | Referenced], frozen=True, kw_only=True, tag=True):
    """Delete a manifest and its tags, if these are exactly `if_tags` (None: whatever they are).

    Its edges go with it: what only it referenced becomes garbage. An index's child is not deleted. Durable. Tags are
    looked at before references. With `stamped_before_s` only if it carries a stamp of the collector's clock not later
    than that (else TagsDiffer).
    """

    remembered: ClassVar[bool] = True
    digest: Digest
    if_tags: tuple[Tag, ...] | None = None
    stamped_before_s: float | None = None
    by: str = ""


class TouchManifest(Command[bool], frozen=True, kw_only=True, tag=True):
    """Clear the stamp of a manifest, so that a whole delay passes before it is collected. False: it is not here."""

    durable: ClassVar[bool] = False
    digest: Digest


class DeleteTag(Command[Deleted | Absent | TagRefused], frozen=True, kw_only=True, tag=True):
    """Delete a tag; the manifest stays, to be collected once nothing keeps it. Durable.

    With `if_digest`, only if it points there (else Absent); `immutable` refuses if the tag exists.
    """

    remembered: ClassVar[bool] = True
    tag: Tag
    if_digest: Digest | None = None
    immutable: bool = False
    by: str = ""


class RestoreTag(Command[Stored | Absent | TagRefused], frozen=True, kw_only=True, tag=True):
    """Point a tag at a manifest that is still here. Durable. Absent: the manifest is not."""

    remembered: ClassVar[bool] = True
    digest: Digest
    move: TagMove
    by: str = ""


class RemoveRepository(Command[bool], frozen=True, kw_only=True, tag=True):
    """Forget a repository that has no manifest, blob (doomed ones too), claim or open upload; False if it has one.

    Its finished uploads and its tag log go with it. True also if there is none. Durable.
    """

    remembered: ClassVar[bool] = True


# --- Uploads ---


class Begun(StrEnum):
    """What came of beginning an upload."""

    BEGUN = "begun"
    TOO_MANY = "too many"


class BeginUpload(Command[Begun], frozen=True, kw_only=True, tag=True):
    """Open an upload session at offset 0, unless the repository has `limit` open ones. BEGUN creates the repository.

    A session that is there already is left as it is: BEGUN.
    """

    durable: ClassVar[bool] = False
    session: str
    principal: str = ""
    algorithm: str = "sha256"
    limit: int = 1000


class LeaseUpload(Command[UploadRow | None], frozen=True, kw_only=True, tag=True):
    """Take the session for one request: fences whoever has it, by a new epoch. None: no such session here.

    A finished session is answered as it is, its epoch unchanged.
    """

    durable: ClassVar[bool] = False
    session: str


class AdvanceUpload(Command[bool], frozen=True, kw_only=True, tag=True):
    """Record that the first `offset` bytes are in the staged file. False: fenced off, finished, or gone.

    `prefix` is the digest of those bytes by `algorithm` if it is known; it counts within this `boot` only.
    """

    durable: ClassVar[bool] = False
    session: str
    epoch: int
    offset: int
    algorithm: str = "sha256"
    prefix: Digest | None = None
    boot: str = ""


class CancelUpload(Command[bool], frozen=True, kw_only=True, tag=True):
    """Remove a session's row; its staged bytes are removed after. False: there was none in this repository.

    With `if_epoch`, only at that epoch, so that a session in use is not taken away by the collection of stale ones.
    """

    durable: ClassVar[bool] = False
    remembered: ClassVar[bool] = True
    session: str
    if_epoch: int | None = None


# --- Layouts ---


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


class LayoutTag(msgspec.Struct, frozen=True):
    """A tag that a layout's index names. `if_digest`: taken only if the catalog's tag is there (None: only if new).

    Never taken if its manifest is not in the catalog: a tag points to a manifest that is there.
    """

    tag: Tag
    digest: Digest
    if_digest: Digest | None = None


class LayoutBlob(msgspec.Struct, frozen=True):
    """A file below `blobs/` of a layout."""

    digest: Digest
    size: int


class Adopt(Command[tuple[Tag, ...]], frozen=True, kw_only=True, tag=True):
    """Take in a part of a layout: what is there already stays, so it may be given again. Creates the repository.

    Blobs become present, manifests are stored with their edges whether or not all their blobs are there, and tags are
    set by their condition; those that do not point where the layout has them are returned. A doomed blob stays
    doomed. Parts are small (some hundred entries), so that no other command waits long. With `complete` the repository
    is adopted from then on. What is taken in makes an export due like any other change: `Exported` says if the layout
    shows it already.
    """

    blobs: tuple[LayoutBlob, ...] = ()
    manifests: tuple[LayoutManifest, ...] = ()
    tags: tuple[LayoutTag, ...] = ()
    complete: bool = False
    by: str = ""


class IntendExport(Command[bool], frozen=True, kw_only=True, tag=True):
    """Record the sha256 of an `index.json` that is staged and synced, before it is renamed into place.

    False: the repository is not adopted or gone, and must not be exported. Durable.
    """

    digest: str


class Exported(Command[None], frozen=True, kw_only=True, tag=True):
    """Record that the layout shows `revision`: `digest` and `signature` are those of the file in place.

    It ends the intent. One of an older revision than was recorded changes nothing.
    """

    durable: ClassVar[bool] = False
    revision: int
    digest: str
    signature: str


class MarkDirty(Command[None], frozen=True, kw_only=True, tag=True):
    """Make an export due, by a new revision: the layout was seen to lack what the catalog has."""

    durable: ClassVar[bool] = False


AnyCommand = (
    ClaimBlob
    | PublishBlob
    | CheckRoom
    | DropClaim
    | TouchBlob
    | DoomBlob
    | ForgetBlob
    | StampGarbage
    | PutManifest
    | DeleteManifest
    | TouchManifest
    | DeleteTag
    | RestoreTag
    | RemoveRepository
    | BeginUpload
    | LeaseUpload
    | AdvanceUpload
    | CancelUpload
    | Adopt
    | IntendExport
    | Exported
    | MarkDirty
)
