"""Queries for images: filtered, sorted and paged in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from zot.extensions.search.index.facts import NAME_LIMIT, ManifestFacts
from zot.extensions.search.index.schema import pack, packed_range, unpack
from zot.extensions.search.index.snapshot import Snapshot
from zot.extensions.search.index.summaries import manifest_image, tagged_images
from zot.extensions.search.interface import (
    PAGE_LIMIT,
    TEXT_LIMIT,
    ImageFilter,
    ImagePage,
    ImageQuery,
    ImageSort,
    ImageSummary,
    PageBounds,
    Referrer,
    Visible,
)
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository

_TRIGRAM = 3
_LAST = "\U0010ffff"

_ORDERS = {
    ImageSort.NAME: ("name", "image.tag"),
    ImageSort.NAME_DESCENDING: ("name DESC", "image.tag DESC"),
    ImageSort.UPDATED: ("image.updated_ns DESC", "name", "image.tag"),
    ImageSort.PUSHED: ("image.moved_ns DESC", "name", "image.tag"),
    ImageSort.DOWNLOADS: ("image.downloads DESC", "name", "image.tag"),
    ImageSort.SIZE: ("image.size DESC", "name", "image.tag"),
}
_SHOWN = """
CASE substr(hex({0}), 1, 2) WHEN '01' THEN 'sha256:' WHEN '02' THEN 'sha384:' ELSE 'sha512:' END
|| lower(hex(substr({0}, 2)))
"""
_BY_CONTENT = """
image.id IN (
  SELECT image.id FROM part JOIN image ON image.repository = part.repository AND image.content = part.content
  WHERE part.manifest IN ({0})
  UNION
  SELECT image.id FROM manifest JOIN image
    ON image.repository = manifest.repository AND image.content = manifest.content
  WHERE manifest.content IN ({0}))
"""
_LABELLED_ANYHOW = "SELECT content FROM label WHERE key = ?"
_LABELLED = f"{_LABELLED_ANYHOW} AND value = ?"
# What tags need: their manifests, what indexes list, and what has a subject that is needed.
NEEDED = """
needed (content) AS (
  SELECT content FROM manifest WHERE repository = ?1 AND tags > 0
  UNION SELECT content FROM attached WHERE repository = ?1
  UNION SELECT manifest.content FROM needed JOIN child ON child.content = needed.content
    JOIN content ON content.digest = child.digest
    JOIN manifest ON manifest.repository = ?1 AND manifest.content = content.id
  UNION SELECT manifest.content FROM needed JOIN content ON content.id = needed.content
    JOIN manifest ON manifest.repository = ?1 AND manifest.subject = content.digest)
"""
_UNTAGGED = "FROM manifest JOIN content ON content.id = content WHERE repository = ?1 AND content NOT IN needed"
_CONTENT = "SELECT id FROM content WHERE digest = ?"
# A content's chain is the hash of all its layers, a layer's that of the layers up to it.
_BASES = """
SELECT base.id FROM content JOIN layer ON layer.content = content.id JOIN content AS base ON base.chain = layer.chain
WHERE content.digest = ?
"""
_DERIVED = "SELECT layer.content FROM content JOIN layer ON layer.chain = content.chain WHERE content.digest = ?"
_REFERRERS = """
SELECT content.digest, media_type, artifact_type, own_size, manifest_facts
FROM manifest JOIN content ON content.id = manifest.content
WHERE repository = ? AND subject = ? {0} ORDER BY content.digest LIMIT ?
"""


class Conditions:
    """Conditions of a query, all of which have to hold, with their values."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        """Add a condition."""
        self._texts.append(text)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(f"({each})" for each in self._texts) or "TRUE"

    def __len__(self) -> int:
        return len(self._texts)


def images(snapshot: Snapshot, visible: Visible, query: ImageQuery) -> ImagePage:
    """Return a page of tagged images."""
    repository = None
    if query.repository is not None:
        repository = snapshot.repository(visible, query.repository)
        if repository is None:
            return ImagePage(0, ())
    conditions = Conditions()
    if not _add_conditions(conditions, query):
        return ImagePage(0, ())
    return selected_images(snapshot, visible, conditions, query.sort, query.page, repository)


def selected_images(
    snapshot: Snapshot,
    visible: Visible,
    conditions: Conditions,
    sort: ImageSort,
    page: PageBounds,
    repository: int | None = None,
) -> ImagePage:
    """Return a page of the visible images, or of those of one repository, for which conditions hold."""
    whole = not len(conditions)
    if repository is not None:
        conditions.add("image.repository = ?", repository)
        tables, order = "image", [each for each in _ORDERS[sort] if not each.startswith("name")]
    else:
        conditions.add(snapshot.among("image.repository", visible))
        tables = "image JOIN repository ON repository.id = image.repository"
        order = list(_ORDERS[sort])
    if whole:
        chosen = "id = ?" if repository is not None else snapshot.among("id", visible)
        values = conditions.values
        ((total,),) = snapshot.rows(f"SELECT coalesce(sum(images), 0) FROM repository WHERE {chosen}", *values)  # noqa: S608
    else:
        ((total,),) = snapshot.rows(f"SELECT count(*) FROM image WHERE {conditions}", *conditions.values)  # noqa: S608
    if page.offset >= total:
        return ImagePage(total, ())
    rows = snapshot.rows(
        f"SELECT image.id FROM {tables} WHERE {conditions} ORDER BY {', '.join(order)} LIMIT ? OFFSET ?",  # noqa: S608
        *conditions.values,
        min(page.limit, PAGE_LIMIT),
        page.offset,
    )
    return ImagePage(total, tagged_images(snapshot, [image for (image,) in rows]))


def _add_conditions(conditions: Conditions, query: ImageQuery) -> bool:
    """Add what a query asks for; return False if nothing can fulfil it."""
    texts = (query.tag or "", query.tag_prefix, query.tag_contains, query.digest or "", query.label or "")
    if any(len(text) > TEXT_LIMIT or "\0" in text for text in texts):
        return False
    if query.tag is not None:
        conditions.add("image.tag = ?", query.tag)
    if query.tag_prefix:
        conditions.add("image.tag >= ? AND image.tag < ?", query.tag_prefix, query.tag_prefix + _LAST)
    if len(query.tag_contains) >= _TRIGRAM:
        text = query.tag_contains.replace('"', '""')
        conditions.add("image.id IN (SELECT rowid FROM tag_text WHERE tag_text MATCH ?)", f'"{text}"')
    elif query.tag_contains:
        conditions.add("instr(lower(image.tag), ?)", query.tag_contains.lower())
    if query.digest:
        _add_digest(conditions, query.digest)
    if query.label:
        key, equals, value = query.label.partition("=")
        chosen, values = (_LABELLED, (key, value[:NAME_LIMIT])) if equals else (_LABELLED_ANYHOW, (key,))
        conditions.add(_BY_CONTENT.format(chosen), *(2 * values))
    _add_filter(conditions, query.filter)
    return True


def _add_digest(conditions: Conditions, text: str) -> None:
    found = packed_range(text)
    values: tuple[object, ...] = found or (text.lower(),)
    chosen = "{0} BETWEEN ? AND ?" if found else f"instr({_SHOWN}, ?)"
    contents = (
        f"SELECT id FROM content WHERE {chosen.format('digest')} "  # noqa: S608 (the values are bound)
        f"UNION SELECT id FROM content WHERE config IS NOT NULL AND {chosen.format('config')} "
        f"UNION SELECT content FROM layer WHERE {chosen.format('digest')}"
    )
    conditions.add(_BY_CONTENT.format(contents), *(6 * values))


def _add_filter(conditions: Conditions, asked: ImageFilter) -> None:
    if asked.os or asked.arch:
        platform = Conditions()
        if asked.os:
            platform.add(f"os IN ({_marks(asked.os)})", *asked.os)
        if asked.arch:
            either = (
                f"arch IN ({_marks(asked.arch)}) OR (arch || '/' || variant) COLLATE NOCASE IN ({_marks(asked.arch)})"
            )
            platform.add(either, *asked.arch, *asked.arch)
        conditions.add(
            "(image.repository, image.content) IN (SELECT part.repository, part.content "  # noqa: S608
            f"FROM part JOIN content ON content.id = part.manifest WHERE {platform})",
            *platform.values,
        )
    if asked.kinds:
        conditions.add(f"image.kind IN ({_marks(asked.kinds)})", *asked.kinds)
    if asked.signed is not None:
        conditions.add("image.signed = ?", asked.signed)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def image(snapshot: Snapshot, visible: Visible, name: Repository, reference: Reference) -> ImageSummary | None:
    """Return the image of a tag or digest."""
    repository = snapshot.repository(visible, name)
    if repository is None:
        return None
    if ":" not in reference:
        rows = snapshot.rows("SELECT id FROM image WHERE repository = ? AND tag = ?", repository, reference)
        return tagged_images(snapshot, [rows[0][0]])[0] if rows else None
    content = _manifest_of(snapshot, repository, Digest(reference))
    return None if content is None else manifest_image(snapshot, repository, name, content)


def _manifest_of(snapshot: Snapshot, repository: int, digest: Digest) -> int | None:
    rows = snapshot.rows(
        "SELECT content FROM manifest WHERE repository = ? AND content = (SELECT id FROM content WHERE digest = ?)",
        repository,
        pack(digest),
    )
    return rows[0][0] if rows else None


def untagged(snapshot: Snapshot, visible: Visible, name: Repository, page: PageBounds) -> ImagePage:
    """Return a page of the manifests that no tag needs."""
    repository = snapshot.repository(visible, name)
    if repository is None:
        return ImagePage(0, ())
    ((total,),) = snapshot.rows(f"WITH RECURSIVE {NEEDED} SELECT count(*) {_UNTAGGED}", repository)
    rows = snapshot.rows(
        f"WITH RECURSIVE {NEEDED} SELECT content {_UNTAGGED} ORDER BY digest LIMIT ?2 OFFSET ?3",
        repository,
        min(page.limit, PAGE_LIMIT),
        page.offset,
    )
    return ImagePage(total, tuple(manifest_image(snapshot, repository, name, content) for (content,) in rows))


def related_images(
    snapshot: Snapshot,
    visible: Visible,
    of: ImageSummary,
    manifest: Digest | None,
    sort: ImageSort,
    page: PageBounds,
    *,
    derived: bool,
) -> ImagePage:
    """Return a page of the images that are based on an image, or that it is based on."""
    own: set[int] = set()
    related: set[int] = set()
    for each in of.manifests:
        if manifest in (None, each.digest):
            own.update(content for (content,) in snapshot.rows(_CONTENT, pack(each.digest)))
            rows = snapshot.rows(_DERIVED if derived else _BASES, pack(each.digest))
            related.update(content for (content,) in rows)
    conditions = Conditions()
    conditions.add(
        "image.id IN (SELECT image.id FROM part JOIN image "
        "ON image.repository = part.repository AND image.content = part.content "
        "WHERE part.manifest IN (SELECT value FROM json_each(?)))",
        msgspec.json.encode(sorted(related - own)).decode(),
    )
    conditions.add("image.content IS NOT (SELECT id FROM content WHERE digest = ?)", pack(of.digest))
    return selected_images(snapshot, visible, conditions, sort, page)


def referrers(
    snapshot: Snapshot, visible: Visible, name: Repository, subjects: Iterable[Digest], artifact_types: Sequence[str]
) -> dict[Digest, tuple[Referrer, ...]]:
    """Return the referrers of each subject."""
    repository = snapshot.repository(visible, name)
    found: dict[Digest, tuple[Referrer, ...]] = {}
    left = PAGE_LIMIT
    chosen = f"AND artifact_type IN ({_marks(artifact_types)})" if artifact_types else ""
    for subject in subjects if repository is not None else ():
        rows = snapshot.rows(_REFERRERS.format(chosen), repository, pack(subject), *artifact_types, left)
        left -= len(rows)
        if rows:
            found[subject] = tuple(
                Referrer(
                    unpack(digest),
                    media_type,
                    artifact_type or "",
                    size,
                    msgspec.msgpack.decode(facts, type=ManifestFacts).annotations,
                )
                for digest, media_type, artifact_type, size, facts in rows
            )
    return found
