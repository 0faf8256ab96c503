"""Commands on claims, in memory."""

from __future__ import annotations

from zot.catalog.blob_commands import ClaimBlob, ClaimOutcome, DropClaim
from zot.catalog.memory.state import MemoryScope
from zot.oci.digest import Digest


def claim(scope: MemoryScope, command: ClaimBlob) -> ClaimOutcome:
    """Carry out ClaimBlob."""
    return take(scope, command.digest, command.token, command.owner)


def take(scope: MemoryScope, digest: Digest, token: str, owner: str) -> ClaimOutcome:
    """Claim a digest, as `ClaimBlob` states."""
    blob = scope.repository.blobs.get(digest)
    if blob is None:
        scope.create().claims.setdefault((digest, token), owner)
        return ClaimOutcome.CLAIMED
    if blob.doom is not None:
        return ClaimOutcome.DOOMED
    blob.marked_s = None
    return ClaimOutcome.PRESENT


def drop(scope: MemoryScope, command: DropClaim) -> None:
    """Carry out DropClaim."""
    scope.repository.claims.pop((command.digest, command.token), None)
