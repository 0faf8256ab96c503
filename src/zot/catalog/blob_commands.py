"""Changes to blobs: absent -> claimed -> present -> doomed -> absent; only `present` is visible."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from zot.catalog.command import OwnedCommand, RepositoryCommand
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.oci.digest import Digest


class ClaimOutcome(StrEnum):
    """What came of a claim."""

    CLAIMED = "claimed"
    PRESENT = "present"
    """It is there already, its stamp is cleared: nothing to publish."""
    DOOMED = "doomed"
    """It is being removed: try again in some milliseconds."""


class ClaimBlob(OwnedCommand[ClaimOutcome], frozen=True, kw_only=True, tag=True):
    """Announce that a file of this digest is about to be published under `token`. CLAIMED creates the repository.

    Again with the same token: the same claim. Several claims of one digest stand beside each other, each with its own
    token; while one stands, nothing dooms the blob. Claims are dropped at the start of the server.
    """

    durable: ClassVar[bool] = False
    digest: Digest
    token: str


class PublishOutcome(StrEnum):
    """What came of publishing."""

    PRESENT = "present"
    CLAIM_LOST = "claim lost"
    """The claim does not stand any more (the server was restarted between): claim and publish again."""


class PublishBlob(RepositoryCommand[PublishOutcome | OverQuota], frozen=True, kw_only=True, tag=True):
    """Make a claimed blob present: its file is in place and synced. Durable; then 201 may be answered.

    With `session`, that upload of the repository is finished in the same commit, and keeps its row for a repeated
    finish. If the blob is present already (by another's doing, or this is a repetition) it stays so whether or not the
    claim stands, its stamp cleared. OverQuota: one of the `quotas` would be exceeded. The claim is gone afterwards,
    whatever the outcome.
    """

    digest: Digest
    token: str
    size: int
    session: str | None = None
    quotas: tuple[RepositoryQuota, ...] = ()


class CheckQuota(RepositoryCommand[OverQuota | None], frozen=True, kw_only=True, tag=True):
    """Tell whether `quotas` have room for a blob of that size now, and change nothing. None: they have.

    What is here already needs none. It is asked of the writer, who alone knows what many repositories hold together.
    """

    durable: ClassVar[bool] = False
    digest: Digest
    size: int
    quotas: tuple[RepositoryQuota, ...]


class DropClaim(RepositoryCommand[None], frozen=True, kw_only=True, tag=True):
    """Take a claim back: the file was not published."""

    durable: ClassVar[bool] = False
    digest: Digest
    token: str


class TouchBlob(RepositoryCommand[bool], frozen=True, kw_only=True, tag=True):
    """Clear the stamp of a present blob, so that a whole delay passes before it is collected. False: not present.

    Durable only as far as the stamp: losing it together with the machine loses the process that promised, too.
    """

    durable: ClassVar[bool] = False
    digest: Digest


class DoomOutcome(StrEnum):
    """What came of dooming."""

    DOOMED = "doomed"
    ABSENT = "absent"
    REFERENCED = "referenced"
    """A manifest names it (or it is itself the content of a manifest that is here)."""
    CLAIMED = "claimed"
    """A push is about to publish it, or it was touched since it was stamped."""


class DoomBlob(OwnedCommand[DoomOutcome], frozen=True, kw_only=True, tag=True):
    """Decide that a present, unreferenced, unclaimed blob goes; it is invisible from then on. Unlink, then forget.

    With `stamped_before_s` only if it carries a stamp of the collector's clock not later than that (else CLAIMED).
    Again with the same token: DOOMED; doomed under another one it is ABSENT already. With `stray` it is a digest
    without a row that is doomed, since a file is there that no row knows, and no present blob (CLAIMED). With either a
    repository keeps everything while it has something unread (REFERENCED). With `damaged` a blob goes although it is
    referenced, because its bytes are not its digest's any more: once it is forgotten it is missing where it is named,
    and the next push of it heals that. With `placed_ns` only if it is present since that time (else CLAIMED), so that
    an old observation of damage takes nothing that was pushed since.
    """

    digest: Digest
    token: str
    stamped_before_s: float | None = None
    stray: bool = False
    damaged: bool = False
    placed_ns: int | None = None


class ForgetBlob(RepositoryCommand[None], frozen=True, kw_only=True, tag=True):
    """Remove the row of a blob doomed under `token`: its file is unlinked. It may be claimed again from then on."""

    digest: Digest
    token: str


class MarkUnreferenced(RepositoryCommand[int], frozen=True, kw_only=True, tag=True):
    """Stamp what nothing keeps and has no stamp yet with `now_s`; return how much that was.

    It is the repository's present, unreferenced, unclaimed blobs, and its manifests without a tag, an index that lists
    them, a subject that is here, or an entry with a name. At most `limit` at once, blobs first, each in the order of
    digests: as many as that means call again. What is named again loses its stamp. Nothing is stamped where something
    is unread.
    """

    durable: ClassVar[bool] = False
    now_s: float
    limit: int = 1000
