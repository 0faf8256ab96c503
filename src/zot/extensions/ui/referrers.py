"""Referrers as a tree: what names a manifest as its subject, and what names that."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zot.extensions.search.interface import Referrer
from zot.extensions.ui.page import PageParts, PageVisit
from zot.oci.digest import Digest
from zot.oci.names import Repository

ROWS_LIMIT = 100
"""Referrers that a page shows."""
DEPTH_LIMIT = 4


class ShownReferrer(msgspec.Struct, frozen=True):
    """A referrer in the tree."""

    referrer: Referrer
    depth: int
    """From 1: what refers to the manifest itself."""
    pushed_ns: int | None
    """None: it was deleted a moment ago."""


class ReferrerTree(msgspec.Struct, frozen=True):
    """Referrers, each after its subject."""

    rows: tuple[ShownReferrer, ...]
    more: bool
    """Whether there are referrers that are not shown."""


async def referrer_tree(
    parts: PageParts, visit: PageVisit, name: Repository, subjects: Sequence[Digest]
) -> ReferrerTree:
    """Return what refers to any of some manifests, at most `ROWS_LIMIT` of them and `DEPTH_LIMIT` levels.

    Raises SearchUnavailableError, CatalogError.
    """
    below: dict[Digest, tuple[Referrer, ...]] = {}
    seen = set(subjects)
    level, depth = list(dict.fromkeys(subjects)), 0
    while level and depth < DEPTH_LIMIT and len(seen) < ROWS_LIMIT + len(subjects):
        found = await parts.search.referrers(visit.visible, name, level)
        below.update(found)
        level = [each.digest for rows in found.values() for each in rows if each.digest not in seen][:ROWS_LIMIT]
        seen.update(level)
        depth += 1
    listed: list[tuple[Referrer, int]] = []
    for subject in dict.fromkeys(subjects):
        _list(below, subject, 1, listed, set())
    rows = []
    for referrer, depth in listed[:ROWS_LIMIT]:
        details = await parts.catalog.manifest(name, referrer.digest)
        rows.append(ShownReferrer(referrer, depth, details.pushed_ns if details is not None else None))
    return ReferrerTree(tuple(rows), more=len(listed) > ROWS_LIMIT)


def _list(
    below: dict[Digest, tuple[Referrer, ...]],
    subject: Digest,
    depth: int,
    listed: list[tuple[Referrer, int]],
    above: set[Digest],
) -> None:
    """Add what is below a subject, depth first; a manifest that refers to itself by a detour comes once."""
    if depth > DEPTH_LIMIT or subject in above:
        return
    for each in below.get(subject, ()):
        if len(listed) > ROWS_LIMIT:
            return
        listed.append((each, depth))
        _list(below, each.digest, depth + 1, listed, above | {subject})
