"""Queries for repositories: filtered in SQL, and sorted there where an index has the order."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from zot.extensions.search.index.images import Conditions, images
from zot.extensions.search.index.snapshot import Snapshot
from zot.extensions.search.index.summaries import repository_summaries
from zot.extensions.search.interface import (
    PAGE_LIMIT,
    TEXT_LIMIT,
    Facets,
    ImageKind,
    ImageQuery,
    ImageSort,
    PageBounds,
    Platform,
    RepositoryPage,
    RepositoryQuery,
    RepositorySort,
    RepositorySummary,
    Suggestion,
    Visible,
)
from zot.oci.names import Repository

_FACETS_LIMIT = 64
_ORDERS = {
    RepositorySort.NAME: "name",
    RepositorySort.NAME_DESCENDING: "name DESC",
    RepositorySort.UPDATED: "updated_ns DESC, name",
    RepositorySort.PUSHED: "pushed_ns DESC, name",
    RepositorySort.DOWNLOADS: "downloads DESC, name",
}
_LISTED = "name IN (SELECT value FROM json_each(?))"
_HAS_TRAIT = "id IN (SELECT repository FROM trait WHERE name = '{0}' AND ({1}))"
_FACETS = """
SELECT name, value, arch, variant, count(*) AS repositories FROM trait
WHERE name IN ('platform', 'kind', 'signed') AND repository IN (SELECT id FROM repository WHERE {0})
GROUP BY name, value, arch, variant ORDER BY repositories DESC, value, arch, variant
"""


def repositories(snapshot: Snapshot, visible: Visible, query: RepositoryQuery) -> RepositoryPage:
    """Return a page of repositories that have a tagged image."""
    conditions = _conditions(snapshot, visible, query)
    if conditions is None:
        return RepositoryPage(0, ())
    limit, offset = min(query.page.limit, PAGE_LIMIT), query.page.offset
    text = _normalized(query.text)
    order = _ORDERS.get(query.sort)
    if order is None and query.sort is RepositorySort.RELEVANCE and not text:
        order = "name"
    if order is not None:
        ((total,),) = snapshot.rows(f"SELECT count(*) FROM repository WHERE {conditions}", *conditions.values)  # noqa: S608
        rows = snapshot.rows(
            f"SELECT id, name FROM repository WHERE {conditions} ORDER BY {order} LIMIT ? OFFSET ?",  # noqa: S608
            *conditions.values,
            limit,
            offset,
        )
    else:
        rows = snapshot.rows(f"SELECT id, name FROM repository WHERE {conditions}", *conditions.values)  # noqa: S608
        total = len(rows)
        if query.sort is RepositorySort.STARS:
            rows.sort(key=lambda row: (-query.stars.get(row[1], 0), row[1]))
        else:
            rows.sort(key=lambda row: (rank(text, row[1]), row[1]))
        rows = rows[offset : offset + limit]
    found = repository_summaries(snapshot, [number for number, _ in rows])
    return RepositoryPage(
        total, tuple(replace(row, stars=query.stars.get(row.name, 0), rank=rank(text, row.name)) for row in found)
    )


def repository(snapshot: Snapshot, visible: Visible, name: Repository) -> RepositorySummary | None:
    """Return a repository that has a tagged image."""
    number = snapshot.repository(visible, name)
    if number is None or not snapshot.rows("SELECT 1 FROM repository WHERE id = ? AND images > 0", number):
        return None
    return repository_summaries(snapshot, [number])[0]


def facets(snapshot: Snapshot, visible: Visible, query: RepositoryQuery) -> Facets:
    """Count what the repositories of a query have."""
    conditions = _conditions(snapshot, visible, query)
    if conditions is None:
        return Facets((), (), 0, 0)
    ((total,),) = snapshot.rows(f"SELECT count(*) FROM repository WHERE {conditions}", *conditions.values)  # noqa: S608
    rows = snapshot.rows(_FACETS.format(conditions), *conditions.values)
    platforms = [(Platform(os, arch, variant), count) for name, os, arch, variant, count in rows if name == "platform"]
    kinds = tuple((ImageKind(value), count) for name, value, _, _, count in rows if name == "kind")
    signed = sum(count for name, value, _, _, count in rows if name == "signed" and value == "1")
    return Facets(tuple(platforms[:_FACETS_LIMIT]), kinds, signed, total)


def suggestions(snapshot: Snapshot, visible: Visible, text: str, limit: int) -> tuple[Suggestion, ...]:
    """Return what a text may stand for: repositories first, then images."""
    text = text.strip()
    if not text or limit < 1:
        return ()
    page = PageBounds(limit=limit)
    name, colon, tag = text.partition(":")
    if text.lower().startswith(("sha256:", "sha384:", "sha512:")):
        query = ImageQuery(digest=text, sort=ImageSort.PUSHED, page=page)
    elif colon and name:
        query = ImageQuery(repository=Repository(_normalized(name)), tag_prefix=tag, sort=ImageSort.PUSHED, page=page)
    elif colon:
        query = ImageQuery(tag_contains=tag, sort=ImageSort.PUSHED, page=page)
    else:
        asked = RepositoryQuery(text, sort=RepositorySort.RELEVANCE, page=page)
        found = tuple(Suggestion(each.name) for each in repositories(snapshot, visible, asked).rows)
        left = limit - len(found)
        if not left or "/" in text:
            return found
        query = ImageQuery(tag_prefix=text, sort=ImageSort.PUSHED, page=PageBounds(limit=left))
        return found + _images(snapshot, visible, query)
    return _images(snapshot, visible, query)


def _images(snapshot: Snapshot, visible: Visible, query: ImageQuery) -> tuple[Suggestion, ...]:
    found = images(snapshot, visible, query).rows
    return tuple(Suggestion(each.repository, each.tag, each.digest if query.digest else None) for each in found)


def rank(text: str, name: Repository) -> int:
    """Return how well a name fits a text that it contains, as zot ranks: 0 is the same, more is less."""
    if not text or text == name:
        return 0
    components = name.split("/")
    if "/" not in text:
        place = components[-1].find(text)
        if place >= 0:
            return place + 1
        place = components[0].find(text)
        if place >= 0:
            return 10 * (place + 1)
    place = name.find(text)
    return 10 if place == 0 else 100 * (place + 1)


def _normalized(text: str) -> str:
    return text.strip().strip("/").lower()


def _conditions(snapshot: Snapshot, visible: Visible, query: RepositoryQuery) -> Conditions | None:
    """Return the conditions of a query, None if nothing can fulfil them."""
    if len(query.text) > TEXT_LIMIT or "\0" in query.text:
        return None
    conditions = Conditions()
    conditions.add("images > 0")
    conditions.add(snapshot.among("id", visible))
    text = _normalized(query.text)
    if text:
        conditions.add("instr(name, ?)", text)
    if query.among is not None:
        conditions.add(_LISTED, msgspec.json.encode(sorted(query.among)).decode())
    if query.without:
        conditions.add(f"NOT ({_LISTED})", msgspec.json.encode(sorted(query.without)).decode())
    asked = query.filter
    platform = Conditions()
    if asked.os:
        platform.add(_LISTED.replace("name", "value", 1), msgspec.json.encode([os.lower() for os in asked.os]).decode())
    if asked.arch:
        listed = msgspec.json.encode([arch.lower() for arch in asked.arch]).decode()
        either = f"{_LISTED.replace('name', 'arch', 1)} OR arch || '/' || {_LISTED.replace('name', 'variant', 1)}"
        platform.add(either, listed, listed)
    if len(platform):
        conditions.add(_HAS_TRAIT.format("platform", platform), *platform.values)
    if asked.kinds:
        kinds = msgspec.json.encode(list(asked.kinds)).decode()
        conditions.add(_HAS_TRAIT.format("kind", "value IN (SELECT value FROM json_each(?))"), kinds)
    if asked.signed is not None:
        conditions.add(_HAS_TRAIT.format("signed", "value = ?"), str(int(asked.signed)))
    return conditions
