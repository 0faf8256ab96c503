"""Changes to blobs: absent -> claimed -> present -> doomed -> absent; only `present` is visible.

A small blob becomes present in one command that has its bytes. The catalog holds these until the file is in the layout:
`PutBlob` -> export -> `ReleaseBlobs`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from zot.catalog.command import OwnedCommand, RepositoryCommand
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.oci.digest import Digest

HELD_LIMIT_BYTES = 64 * 1024
"""The largest blob whose bytes the catalog holds until its file is in the layout."""


class ClaimOutcome(StrEnum):
    """The outcome of ClaimBlob."""

    CLAIMED = "claimed"
    PRESENT = "present"
    """It is present already, and its mark is cleared: there is nothing to place."""
    DOOMED = "doomed"
    """It is being deleted: try again in some milliseconds."""


class ClaimBlob(OwnedCommand[ClaimOutcome], frozen=True, kw_only=True, tag=True):
    """Announce that a file of this digest is about to be placed under `token`. CLAIMED creates the repository.

    Idempotent by token. Several claims of one digest may stand at once, each with its own token; while one stands,
    nothing dooms the blob. Claims are dropped at the start of the server.
    """

    durable: ClassVar[bool] = False
    digest: Digest
    token: str


class PublishOutcome(StrEnum):
    """The outcome of PublishBlob."""

    PRESENT = "present"
    CLAIM_LOST = "claim lost"
    """The claim no longer stands (the server was restarted since): claim and place again."""


class PublishBlob(RepositoryCommand[PublishOutcome | OverQuota], frozen=True, kw_only=True, tag=True):
    """Make a claimed blob present: its file is in place and synced. Durable; then 201 may be answered.

    With `session`, that upload of the repository is finished in the same commit, and keeps its row for a repeated
    finish. A blob that is present already (another push placed it, or this is a repetition) stays so whether or not the
    claim stands, and its mark is cleared. OverQuota: one of the `quotas` would be exceeded. The claim ends with each
    outcome.
    """

    digest: Digest
    token: str
    size: int
    session: str | None = None
    quotas: tuple[RepositoryQuota, ...] = ()


class PutOutcome(StrEnum):
    """The outcome of PutBlob."""

    STORED = "stored"
    """It is present, and the catalog holds its bytes."""
    PRESENT = "present"
    """It was present before, and the bytes of its file were not compared."""
    DOOMED = "doomed"
    """It is being deleted: try again in some milliseconds."""
    UPLOAD_LOST = "upload lost"
    """Nothing was changed: the upload is gone, finished as another blob, or a newer request has it."""


class PutBlob(RepositoryCommand[PutOutcome | OverQuota], frozen=True, kw_only=True, tag=True):
    """Make a small blob present with its bytes, which the caller has verified. Durable; then 201 may be answered.

    STORED creates the repository and makes an export due, which places the file. With `session`, that upload is
    finished in the same commit if it is still at `epoch`, and keeps its row for a repeated finish. A blob that is
    present already keeps its file and loses its mark; bytes that are held and damaged are replaced. OverQuota: one of
    the `quotas` would be exceeded. At most HELD_LIMIT_BYTES. Idempotent, with PRESENT when it is repeated.
    """

    digest: Digest
    content: bytes
    session: str | None = None
    epoch: int = 0
    quotas: tuple[RepositoryQuota, ...] = ()


class PlacedBlob(msgspec.Struct, frozen=True):
    """A held blob whose file is in the layout now, in the version that was placed at that time."""

    digest: Digest
    placed_ns: int


class ReleaseBlobs(RepositoryCommand[None], frozen=True, kw_only=True, tag=True):
    """Drop the bytes of held blobs whose files are in the layout, durably. Idempotent.

    A blob that was deleted and pushed again since, and so has another `placed_ns`, is held further: the file may be
    gone. If a power loss undoes it, the blobs are held once more.
    """

    durable: ClassVar[bool] = False
    placed: tuple[PlacedBlob, ...]


class CheckQuota(RepositoryCommand[OverQuota | None], frozen=True, kw_only=True, tag=True):
    """Check whether `quotas` allow a blob of that size now, and change nothing. None: they do.

    A present blob needs no space. The writer answers it, since it alone knows what many repositories hold together.
    """

    durable: ClassVar[bool] = False
    digest: Digest
    size: int
    quotas: tuple[RepositoryQuota, ...]


class DropClaim(RepositoryCommand[None], frozen=True, kw_only=True, tag=True):
    """Withdraw a claim: the file was not placed."""

    durable: ClassVar[bool] = False
    digest: Digest
    token: str


class TouchBlob(RepositoryCommand[bool], frozen=True, kw_only=True, tag=True):
    """Clear the mark of a present blob, so that a whole delay passes before it is collected. False: not present.

    As durable as the mark: a power loss that takes it also ends the process that relied on it.
    """

    durable: ClassVar[bool] = False
    digest: Digest


class Disposal(StrEnum):
    """What is done with the file of a doomed blob."""

    UNLINK = "unlink"
    QUARANTINE = "quarantine"
    """Move it aside: it is damaged, and may be all that is left."""
    NO_FILE = "no file"
    """Touch nothing: the file is missing, and one that appears by now belongs to another program."""


class DoomOutcome(StrEnum):
    """The outcome of DoomBlob."""

    DOOMED = "doomed"
    ABSENT = "absent"
    REFERENCED = "referenced"
    """A manifest names it (or it is itself the content of a manifest that is here)."""
    CLAIMED = "claimed"
    """A push is about to place it, or it was touched since it was marked."""


class DoomBlob(OwnedCommand[DoomOutcome], frozen=True, kw_only=True, tag=True):
    """Decide to delete a present, unreferenced, unclaimed blob; it is invisible from then on. Dispose, then forget.

    The row keeps the `disposal` of its file, so that another owner that takes the delete over does the same.

    Bytes that the catalog holds are dropped with the decision.

    With `marked_before_s` only if its mark by the collector's clock is not later than that (else CLAIMED). Idempotent
    by token; a blob doomed under another token is ABSENT already. With `orphan` it dooms a digest without a row, whose
    file no row knows, and no present blob (CLAIMED). With either, a repository keeps everything while it has something
    unread (REFERENCED). With `damaged` it dooms a blob although it is referenced, because its bytes no longer have its
    digest: once forgotten it is missing where it is named, and the next push of it heals that. With `placed_ns` only if
    it has been present since that time (else CLAIMED), so that an old observation of damage deletes nothing that was
    pushed since.
    """

    digest: Digest
    token: str
    marked_before_s: float | None = None
    orphan: bool = False
    damaged: bool = False
    placed_ns: int | None = None
    disposal: Disposal = Disposal.UNLINK


class ForgetBlob(RepositoryCommand[None], frozen=True, kw_only=True, tag=True):
    """Remove the row of a blob doomed under `token`: its file is unlinked. It may be claimed again from then on."""

    digest: Digest
    token: str


class MarkUnreferenced(RepositoryCommand[int], frozen=True, kw_only=True, tag=True):
    """Mark unreferenced blobs and dangling manifests that have no mark yet with `now_s`; return how many.

    These are the repository's present, unreferenced, unclaimed blobs, and its manifests without a tag, an index that
    lists them, a subject that is here, or an entry with a name. Marks at most `limit`, blobs first, each in the order
    of digests: if it marked that many, call it again. What is referenced again loses its mark. Marks nothing where
    something is unread.
    """

    durable: ClassVar[bool] = False
    now_s: float
    limit: int = 1000
