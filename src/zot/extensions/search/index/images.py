"""Queries for images: filtered, sorted and paged in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from zot.extensions.search.index.facts import NAME_LIMIT, ManifestFacts
from zot.extensions.search.index.schema import image_range, pack, packed_range, unpack
from zot.extensions.search.index.snapshot import Snapshot
from zot.extensions.search.index.summaries import tagged_images, untagged_images
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
_FEW = 20_000
"""If more tags contain a text, reading tags in order until a page is full is quicker than looking up each."""
_LAST = "\U0010ffff"

_ORDERS = {
    ImageSort.NAME: ("name", "image.version", "image.tag"),
    ImageSort.NAME_DESCENDING: ("name DESC", "image.version DESC", "image.tag DESC"),
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
SELECT repository, content FROM part WHERE manifest IN ({0})
UNION SELECT repository, content FROM manifest WHERE content IN ({0})
"""
_ON_PLATFORM = "SELECT repository, content FROM platform WHERE {0}"
_WALKS = {
    ImageSort.NAME: "repository CROSS JOIN image ON image.repository = repository.id",
    ImageSort.NAME_DESCENDING: "repository CROSS JOIN image ON image.repository = repository.id",
    ImageSort.PUSHED: "image INDEXED BY image_by_push_anywhere CROSS JOIN repository "
    "ON repository.id = image.repository",
}
_CONTAINING = "SELECT rowid FROM tag_text WHERE tag_text MATCH ? AND rowid BETWEEN ? AND ?"
_MATCHES = f"SELECT count(*) FROM ({_CONTAINING} LIMIT ?)"  # noqa: S608 (a statement of constants)
_ANYWHERE = (0, 2**63 - 1)
_LABELLED_ANYHOW = "SELECT content FROM label WHERE key = ?"
_LABELLED = f"{_LABELLED_ANYHOW} AND value = ?"
# What tags need: their manifests, what indexes list, and what has a subject that is needed.
NEEDED = """
needed (content) AS (
  SELECT content FROM manifest WHERE repository = ?1 AND tags > 0
  UNION SELECT content FROM attached WHERE repository = ?1
  UNION SELECT manifest.content FROM needed CROSS JOIN child ON child.content = needed.content
    CROSS JOIN content ON content.digest = child.digest
    CROSS JOIN manifest ON manifest.repository = ?1 AND manifest.content = content.id
  UNION SELECT manifest.content FROM needed CROSS JOIN content ON content.id = needed.content
    CROSS JOIN manifest ON manifest.repository = ?1 AND manifest.subject = content.digest)
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
SELECT content.digest, media_type, artifact_type, own_size, content.size, manifest_facts
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


class _ImageConditions(Conditions):
    """Conditions on images: of all repositories, or of one."""

    def __init__(self, repository: int | None) -> None:
        super().__init__()
        self.repository = repository
        self.on_tags = False
        """Whether one looks at the tag: else all tags of a manifest fulfil them, or none."""
        self.total: int | None = None
        """How many images fulfil them, where that is known already."""
        self._sets: list[str] = []
        self._set_values: list[Any] = []

    def choose(self, contents: str, *values: Any) -> None:
        """Add the condition that repository and content of an image are in a set."""
        self._sets.append(f"SELECT DISTINCT repository, content FROM ({contents})")  # noqa: S608 (the values are bound)
        self._set_values += values

    @property
    def are_none(self) -> bool:
        """Whether all images fulfil them."""
        return not len(self) and not self._sets

    def source(self, table: str) -> tuple[str, list[Any]]:
        """Return what to select from, named `image`, and its values.

        A join, in this order: a condition that two columns are in a set has SQLite try all pairs of their values.
        """
        if not self._sets:
            return f"{table} AS image", []
        chosen = " INTERSECT ".join(self._sets)
        join = f"CROSS JOIN {table} AS image ON image.repository = chosen.repository AND image.content = chosen.content"
        return f"({chosen}) AS chosen {join}", self._set_values


def images(snapshot: Snapshot, visible: Visible, query: ImageQuery) -> ImagePage:
    """Return a page of tagged images."""
    repository = None
    if query.repository is not None:
        repository = snapshot.repository(visible, query.repository)
        if repository is None:
            return ImagePage(0, ())
    texts = (query.tag or "", query.tag_prefix, query.tag_contains, query.digest or "", query.label or "")
    if any(len(text) > TEXT_LIMIT or "\0" in text for text in texts):
        return ImagePage(0, ())
    conditions = _ImageConditions(repository)
    _add_tag(snapshot, conditions, query)
    if query.digest:
        _add_digest(conditions, query.digest)
    if query.label:
        key, equals, value = query.label.partition("=")
        chosen, values = (_LABELLED, (key, value[:NAME_LIMIT])) if equals else (_LABELLED_ANYHOW, (key,))
        conditions.choose(_BY_CONTENT.format(chosen), *(2 * values))
    _add_filter(conditions, query.filter)
    return _selected(snapshot, visible, conditions, query.sort, query.page)


def _selected(
    snapshot: Snapshot, visible: Visible, conditions: _ImageConditions, sort: ImageSort, page: PageBounds
) -> ImagePage:
    """Return a page of the visible images for which conditions hold."""
    whole, repository = conditions.are_none, conditions.repository
    if repository is not None:
        conditions.add("image.repository = ?", repository)
    else:
        conditions.add(snapshot.among("image.repository", visible))
    values: list[Any] = []
    if whole:
        chosen = "id = ?" if repository is not None else snapshot.among("id", visible)
        count = f"SELECT coalesce(sum(images), 0) FROM repository WHERE {chosen}"  # noqa: S608
    else:
        source, values = conditions.source("image" if conditions.on_tags else "manifest")
        what = "count(*)" if conditions.on_tags else "coalesce(sum(tags), 0)"
        count = f"SELECT {what} FROM {source} WHERE {conditions}"  # noqa: S608 (the values are bound)
    total = conditions.total
    if total is None:
        ((total,),) = snapshot.rows(count, *values, *conditions.values)
    if page.offset >= total:
        return ImagePage(total, ())
    source, values = conditions.source("image")
    if repository is not None:
        order = [each for each in _ORDERS[sort] if not each.startswith("name")]
    else:
        order = list(_ORDERS[sort])
        source += " JOIN repository ON repository.id = image.repository"
        if whole:  # without statistics SQLite does not know that walking these indexes in order is best
            source = _WALKS.get(sort, source)
    rows = snapshot.rows(
        f"SELECT image.id FROM {source} WHERE {conditions} ORDER BY {', '.join(order)} LIMIT ? OFFSET ?",  # noqa: S608
        *values,
        *conditions.values,
        min(page.limit, PAGE_LIMIT),
        page.offset,
    )
    return ImagePage(total, tagged_images(snapshot, [image for (image,) in rows]))


def _add_tag(snapshot: Snapshot, conditions: _ImageConditions, query: ImageQuery) -> None:
    conditions.on_tags = bool(query.tag is not None or query.tag_prefix or query.tag_contains)
    if query.tag is not None:
        conditions.add("image.tag = ?", query.tag)
    if query.tag_prefix:
        conditions.add("image.tag >= ? AND image.tag < ?", query.tag_prefix, query.tag_prefix + _LAST)
    if query.tag_contains:
        phrase = '"' + query.tag_contains.replace('"', '""') + '"'
        if len(query.tag_contains) < _TRIGRAM:
            conditions.add("instr(lower(image.tag), ?)", query.tag_contains.lower())
            return
        place = _ANYWHERE if conditions.repository is None else image_range(conditions.repository)
        # All are counted where nothing else is asked: it is the total.
        is_alone = conditions.repository is not None and query == ImageQuery(
            repository=query.repository, tag_contains=query.tag_contains, sort=query.sort, page=query.page
        )
        ((found,),) = snapshot.rows(_MATCHES, phrase, *place, -1 if is_alone else _FEW + 1)
        if found <= _FEW:
            conditions.add(f"image.id IN ({_CONTAINING})", phrase, *place)
        else:
            conditions.add("instr(lower(image.tag), ?)", query.tag_contains.lower())
        if is_alone:
            conditions.total = found


def _add_digest(conditions: _ImageConditions, text: str) -> None:
    found = packed_range(text)
    values: tuple[object, ...] = found or (text.lower(),)
    if found:
        chosen = "{0} BETWEEN ? AND ?"
    else:
        is_hex = set(text.lower()) <= set("0123456789abcdef")
        chosen = "instr(lower(hex(substr({0}, 2))), ?)" if is_hex else f"instr({_SHOWN}, ?)"
    contents = (
        f"SELECT id FROM content WHERE {chosen.format('digest')} "  # noqa: S608 (the values are bound)
        f"UNION SELECT id FROM content WHERE config IS NOT NULL AND {chosen.format('config')} "
        f"UNION SELECT content FROM layer WHERE {chosen.format('digest')}"
    )
    conditions.choose(_BY_CONTENT.format(contents), *(6 * values))


def _add_filter(conditions: _ImageConditions, asked: ImageFilter) -> None:
    if asked.os or asked.arch:
        platform = Conditions()
        if conditions.repository is not None:
            platform.add("repository = ?", conditions.repository)
        if asked.os:
            platform.add(f"os IN ({_marks(asked.os)})", *(os.lower() for os in asked.os))
        if asked.arch:
            archs = tuple(arch.lower() for arch in asked.arch)
            either = f"arch IN ({_marks(archs)}) OR arch || '/' || variant IN ({_marks(archs)})"
            platform.add(either, *archs, *archs)
        if conditions.repository is not None:
            # One column: here it pays to walk the images in order.
            conditions.add(f"image.content IN (SELECT content FROM platform WHERE {platform})", *platform.values)  # noqa: S608
        else:
            conditions.choose(_ON_PLATFORM.format(platform), *platform.values)
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
    return None if content is None else untagged_images(snapshot, repository, name, [content])[0]


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
    return ImagePage(total, untagged_images(snapshot, repository, name, [content for (content,) in rows]))


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
    conditions = _ImageConditions(None)
    listed = msgspec.json.encode(sorted(related - own)).decode()
    conditions.choose("SELECT repository, content FROM part WHERE manifest IN (SELECT value FROM json_each(?))", listed)
    conditions.add("image.content IS NOT (SELECT id FROM content WHERE digest = ?)", pack(of.digest))
    return _selected(snapshot, visible, conditions, sort, page)


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
                    content_size,
                )
                for digest, media_type, artifact_type, size, content_size, facts in rows
            )
    return found
