"""Commands on claims, in SQL."""

from __future__ import annotations

from zot.catalog.blob_commands import ClaimBlob, ClaimOutcome, DropClaim
from zot.catalog.sqlite.scope import RepositoryScope
from zot.oci.digest import Digest

BLOB = "SELECT size, referenced, stamp_s, doom, placed_ns FROM blob WHERE repository = ?1 AND digest = ?2"
"""Selects a blob, present or doomed."""
CLEAR_STAMP = "UPDATE blob SET stamp_s = NULL WHERE repository = ?1 AND digest = ?2 AND stamp_s IS NOT NULL"
"""Clears the mark of a blob."""

_CLAIM = "INSERT INTO claim (repository, digest, token, owner) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"
_END = "DELETE FROM claim WHERE repository = ?1 AND digest = ?2 AND token = ?3"
_STANDS = "SELECT 1 FROM claim WHERE repository = ?1 AND digest = ?2 LIMIT 1"


def claim(scope: RepositoryScope, command: ClaimBlob) -> ClaimOutcome:
    """Carry out ClaimBlob."""
    return take(scope, command.digest, command.token, command.owner)


def take(scope: RepositoryScope, digest: Digest, token: str, owner: str) -> ClaimOutcome:
    """Claim a digest, as `ClaimBlob` states."""
    found = scope.row(BLOB, digest)
    if found is None:
        scope.create()
        scope.change(_CLAIM, digest, token, owner)
        return ClaimOutcome.CLAIMED
    _, _, marked_s, doom, _ = found
    if doom is not None:
        return ClaimOutcome.DOOMED
    if marked_s is not None:
        scope.change(CLEAR_STAMP, digest)
    return ClaimOutcome.PRESENT


def drop(scope: RepositoryScope, command: DropClaim) -> None:
    """Carry out DropClaim."""
    end(scope, command.digest, command.token)


def end(scope: RepositoryScope, digest: Digest, token: str) -> bool:
    """End a claim; tell whether it stood."""
    return bool(scope.change(_END, digest, token))


def stands(scope: RepositoryScope, digest: Digest) -> bool:
    """Tell whether a claim of the digest stands."""
    return bool(scope.value(_STANDS, digest))
