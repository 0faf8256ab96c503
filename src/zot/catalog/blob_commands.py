"""Changes to blobs: absent -> claimed -> present -> doomed -> absent; only `present` is visible."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from zot.catalog.command import OwnedCommand, RepositoryCommand
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.oci.digest import Digest


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
