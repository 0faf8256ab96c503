"""The decision on a tag that an external `index.json` has at another manifest than the catalog."""

from __future__ import annotations

import pytest

from zot.catalog.change_log import TagChange
from zot.layout.export_stamp import BY
from zot.layout.reconcile import MergeDecision, decide
from zot.oci.digest import Digest
from zot.oci.names import Tag

A, B, C, NEW = (Digest(f"sha256:{number:064}") for number in range(4))


Move = tuple[int, Digest | None] | tuple[int, Digest | None, str]


def history(*moves: Move) -> list[TagChange]:
    """Return the log of a tag with these digests, times and authors, newest first."""
    changes = []
    before: Digest | None = None
    for number, (at_ns, after, *by) in enumerate(moves):
        changes.append(TagChange(number, Tag("x"), before, after, at_ns, "".join(by)))
        before = after
    return changes[::-1]


@pytest.mark.parametrize(
    ("moves", "digest", "started_ns", "exported_ns", "verdict"),
    [
        # A tag that the catalog never had.
        ([], NEW, 10, 10, MergeDecision.TAKE),
        ([], NEW, None, 0, MergeDecision.TAKE),
        # Moved by the other program, untouched here since the export that it started from.
        ([(1, A)], NEW, 10, 10, MergeDecision.TAKE),
        ([(1, A)], NEW, None, 10, MergeDecision.TAKE),
        # Moved back by it: it says what it started from, so it means it.
        ([(1, A), (2, B)], A, 10, 10, MergeDecision.TAKE),
        # The same, but it does not say: any state that ever was may come back by itself.
        ([(1, A), (2, B)], A, None, 10, MergeDecision.STALE),
        # It started before the move that was acknowledged, exported or not.
        ([(1, A), (12, B)], A, 10, 20, MergeDecision.STALE),
        ([(1, A), (12, B)], A, 10, 10, MergeDecision.STALE),
        ([(1, A), (12, B), (13, C)], B, 10, 12, MergeDecision.STALE),
        # Both moved it.
        ([(1, A), (12, B)], NEW, 10, 20, MergeDecision.CONFLICT),
        ([(1, A), (12, B)], NEW, None, 10, MergeDecision.CONFLICT),
        # Deleted here; the other program has not seen that yet.
        ([(1, A), (12, None)], A, 10, 10, MergeDecision.STALE),
        ([(1, A), (12, None)], NEW, 10, 10, MergeDecision.CONFLICT),
        # Deleted here, exported, put there again.
        ([(1, A), (5, None)], A, 10, 10, MergeDecision.TAKE),
        # Moved by another program before, which is merged but was not seen by this one.
        ([(1, A), (12, B, BY)], NEW, 10, 10, MergeDecision.TAKE),
        ([(1, A), (12, B, BY)], A, 10, 10, MergeDecision.STALE),
        ([(1, A), (11, C), (12, B, BY)], NEW, 10, 10, MergeDecision.CONFLICT),
        # A mark from another store's future does not weaken what was acknowledged here.
        ([(1, A), (12, B)], NEW, 1000, 10, MergeDecision.CONFLICT),
    ],
)
def test_acknowledged_states_stay_and_additions_are_taken(
    moves: list[Move],
    digest: Digest,
    started_ns: int | None,
    exported_ns: int,
    verdict: MergeDecision,
) -> None:
    """Only a move that the catalog does not contradict is taken."""
    assert decide(digest, history(*moves), started_ns, exported_ns) is verdict
