"""Writes what was read from catalog and content into the index, and derives what queries filter and sort by.

Rows of manifests and tags are the catalog's. From them follow the parts of an image, whether it is signed, its size and
time, the traits of its repository, and the repository's newest image: all of these are derived again for what an update
touches, and for nothing else, so that writing a change costs the same in a repository of any size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from zot.catalog.rows import ManifestDetails, TagRow
from zot.extensions.search.index.facts import (
    NAME_LIMIT,
    ManifestFacts,
    description_of,
    kind_of,
    signature_tool,
)
from zot.extensions.search.index.schema import chains, image_range, pack, unpack
from zot.extensions.search.index.source import ContentState, RepositoryState, Update
from zot.extensions.search.interface import ImageKind
from zot.oci.digest import Digest, InvalidDigestError, parse_digest
from zot.oci.names import Repository, Tag, version_key

PARTS_LIMIT = 256
"""Manifests of one image."""
_DEPTH_LIMIT = 8
"""Of indexes in indexes."""
_LABELS_LIMIT = 64
"""Labels and annotations of one manifest by which it is found."""
_SIZE_LIMIT = 2**63 - 1

# The tags of cosign's signatures, and those of the referrers tag scheme (distribution-spec).
_ATTACHED = re.compile(r"(sha256|sha384|sha512)-([0-9a-f]{64,128})(\.sig)?")
SIGNATURE_SUFFIX = ".sig"

_Trait = tuple[str, str, str, str]
"""Name, value, architecture and variant."""

_PARENTS = """
SELECT manifest.content FROM child JOIN manifest ON manifest.repository = ? AND manifest.content = child.content
WHERE child.digest = (SELECT digest FROM content WHERE id = ?)
"""
_CHILDREN = """
SELECT manifest.content, content.is_index FROM child JOIN content ON content.digest = child.digest
JOIN manifest ON manifest.repository = ?1 AND manifest.content = content.id
WHERE child.content = ?2 ORDER BY child.ordinal
"""
_IS_SIGNED = """
SELECT EXISTS (SELECT 1 FROM manifest JOIN content ON content.id = manifest.content
    WHERE manifest.repository = ?1 AND manifest.subject = ?2 AND content.tool IS NOT NULL)
  OR EXISTS (SELECT 1 FROM attached WHERE repository = ?1 AND tag = ?3)
"""
_INSERT_CONTENT = "INSERT INTO content VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_PUT_MANIFEST = """
INSERT INTO manifest (repository, content, subject, pushed_ns, pushed_by) VALUES (?,?,?,?,?)
ON CONFLICT DO UPDATE SET subject = excluded.subject, pushed_ns = excluded.pushed_ns, pushed_by = excluded.pushed_by
"""
_DERIVED = """
SELECT digest, is_index, content.kind, content.size, content.created_ns,
  manifest.kind, manifest.size, manifest.updated_ns, manifest.signed, manifest.tags
FROM manifest JOIN content ON content.id = content WHERE repository = ? AND content = ?
"""
_TAGGED = """
SELECT tags, traits, manifest.kind, signed, is_index, vendor
FROM manifest JOIN content ON content.id = content WHERE repository = ? AND content = ?
"""
_PART_VENDORS = """
SELECT vendor FROM part JOIN content ON content.id = part.manifest WHERE part.repository = ? AND part.content = ?
"""
_PART_PLATFORMS = """
SELECT DISTINCT lower(os), lower(arch), lower(variant) FROM part JOIN content ON content.id = part.manifest
WHERE part.repository = ? AND part.content = ? AND os || arch || variant <> '' ORDER BY 1, 2, 3
"""
_PLATFORMS = "SELECT os, arch, variant FROM platform WHERE repository = ? AND content = ? ORDER BY 1, 2, 3"
_INSERT_IMAGE = """
INSERT INTO image (id, repository, tag, version, content, tagged_ns, moved_ns, updated_ns, size, kind, signed,
  downloads)
VALUES (coalesce((SELECT id + 1 FROM image WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1), ?1),
  ?,?,?,?,?,?,?,?,?,?,?)
"""
_MOVE_IMAGE = """
UPDATE image SET content = ?, tagged_ns = ?, moved_ns = ?, updated_ns = ?, size = ?, kind = ?, signed = ?, downloads = ?
WHERE id = ?
"""
_COUNT_TRAIT = """
INSERT INTO trait VALUES (?2, ?1, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET manifests = manifests + excluded.manifests
"""
_SUMMARIZE = """
UPDATE repository SET images = images + ?2,
  newest = (SELECT id FROM image WHERE repository = ?1 ORDER BY updated_ns DESC, tag LIMIT 1),
  updated_ns = (SELECT max(updated_ns) FROM image WHERE repository = ?1),
  pushed_ns = coalesce((SELECT max(moved_ns) FROM image WHERE repository = ?1), 0)
WHERE id = ?1
"""


class Projection:
    """One update of the index, within a transaction of its caller."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection.cursor()
        self._stale: set[tuple[int, int]] = set()
        """Repositories and contents of which kind, size, time, parts or signature may have changed."""
        self._retagged: Counter[tuple[int, int]] = Counter()
        """Repositories and contents of which the traits may have changed: how many more tags they have."""
        self._traits: Counter[tuple[int, _Trait]] = Counter()
        """Repositories and traits: how many more manifests have them."""
        self._images: Counter[int] = Counter()
        """Repositories that are touched: how many more images they have."""
        self._released: set[int] = set()
        """Contents that a repository has no longer. Another one may have them by the same update, so they go last."""

    def apply(self, update: Update) -> None:
        """Write an update. The same one again changes nothing."""
        for content in update.contents.values():
            self._put_content(content)
        present: list[tuple[int, RepositoryState]] = []
        for name, state in update.repositories.items():
            if state.exists:
                present.append((self._repository(name), state))
            else:
                self._drop(name)
        for repository, state in present:
            for manifest in state.manifests.values():
                if manifest is not None:
                    self._put_manifest(repository, manifest)
        self._derive()  # so that images are written once
        for repository, state in present:
            for tag, row in state.tags.items():
                if row is None:
                    self._remove_tag(repository, tag)
                else:
                    self._put_tag(repository, row)
            for digest, details in state.manifests.items():
                if details is None:
                    self._remove_manifest(repository, digest)
        self._derive()
        self._retag()
        self._summarize()
        for released in self._released:
            if not self._rows("SELECT 1 FROM manifest WHERE content = ? LIMIT 1", released):
                self._delete_content(released)

    # --- contents ---

    def _put_content(self, state: ContentState) -> None:
        digest = pack(state.details.digest)
        known = self._rows("SELECT id, is_whole FROM content WHERE digest = ?", digest)
        if not known:
            self._insert_content(None, digest, state)
            return
        content, is_whole = known[0]
        if is_whole or not state.is_whole:
            return
        self._delete_content(content)
        self._insert_content(content, digest, state)
        for (repository,) in self._rows("SELECT repository FROM manifest WHERE content = ?", content):
            self._images[repository] += 0
            self._mark(repository, content)

    def _insert_content(self, content: int | None, digest: bytes, state: ContentState) -> None:
        details, manifest, config = state.details, state.manifest, state.config
        layers = [pack(each.digest) for each in manifest.layers]
        hashes = chains(layers)
        size = details.size + sum(each.size for each in manifest.layers)
        size += manifest.config.size if manifest.config else 0
        self._db.execute(
            _INSERT_CONTENT,
            (
                content,
                digest,
                details.media_type,
                details.artifact_type,
                manifest.is_index,
                _kind(manifest, details.artifact_type),
                signature_tool(details.artifact_type),
                details.size,
                min(size, _SIZE_LIMIT),
                pack(manifest.config.digest) if manifest.config else None,
                manifest.config.size if manifest.config else 0,
                config.platform.os,
                config.platform.arch,
                config.platform.variant,
                config.created_ns,
                hashes[-1] if hashes else None,
                description_of(manifest.annotations, config.labels).vendor[:NAME_LIMIT],
                state.is_whole,
                msgspec.msgpack.encode(manifest),
                msgspec.msgpack.encode(config),
            ),
        )
        if content is None:
            content = self._db.connection.last_insert_rowid()
        sizes = (each.size for each in manifest.layers)
        rows = [(content, ordinal, *each) for ordinal, each in enumerate(zip(layers, sizes, hashes, strict=True))]
        self._insert("INSERT INTO layer VALUES (?,?,?,?,?)", rows)
        children = [(content, ordinal, pack(each)) for ordinal, each in enumerate(manifest.children)]
        self._insert("INSERT INTO child VALUES (?,?,?)", children)
        pairs = [*manifest.annotations.items(), *config.labels.items()][:_LABELS_LIMIT]
        self._insert(
            "INSERT OR IGNORE INTO label VALUES (?,?,?)", [(key, value[:NAME_LIMIT], content) for key, value in pairs]
        )

    def _insert(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            self._db.executemany(statement, rows)

    def _delete_content(self, content: int) -> None:
        for table in ("layer", "child", "label"):
            self._db.execute(f"DELETE FROM {table} WHERE content = ?", (content,))  # noqa: S608 (a constant)
        self._db.execute("DELETE FROM content WHERE id = ?", (content,))

    def _content_of(self, digest: Digest) -> int | None:
        rows = self._rows("SELECT id FROM content WHERE digest = ?", pack(digest))
        return rows[0][0] if rows else None

    # --- repositories ---

    def _repository(self, name: Repository) -> int:
        """Return the number of a repository, which is new if the index does not have it."""
        known = self._rows("SELECT id FROM repository WHERE name = ?", name)
        if not known:
            known = self._rows("INSERT INTO repository (name) VALUES (?) RETURNING id", name)
            self._rename()
        ((repository,),) = known
        self._images[repository] += 0
        return int(repository)

    def _drop(self, name: Repository) -> None:
        for (repository,) in self._rows("SELECT id FROM repository WHERE name = ?", name):
            for (digest,) in self._rows(
                "SELECT digest FROM manifest JOIN content ON content.id = content WHERE repository = ?", repository
            ):
                self._remove_manifest(repository, unpack(digest))
            self._summarize()
            self._db.execute("DELETE FROM repository WHERE id = ?", (repository,))
            self._rename()

    def _rename(self) -> None:
        """Count a version of the set of repositories."""
        self._db.execute("UPDATE state SET names = names + 1")

    def _summarize(self) -> None:
        for (repository, trait), more in self._traits.items():
            if more:
                self._db.execute(_COUNT_TRAIT, (repository, *trait, more))
            if more < 0:
                self._db.execute(
                    "DELETE FROM trait WHERE repository = ? AND name = ? AND manifests = 0", (repository, trait[0])
                )
        self._traits.clear()
        for repository, more in self._images.items():
            self._db.execute(_SUMMARIZE, (repository, more))
        self._images.clear()

    # --- manifests ---

    def _put_manifest(self, repository: int, details: ManifestDetails) -> None:
        content = self._content_of(details.digest)
        if content is None:
            return
        subject = pack(details.subject) if details.subject else None
        row = (subject, details.pushed_ns, details.pushed_by)
        known = self._rows(
            "SELECT subject, pushed_ns, pushed_by FROM manifest WHERE repository = ? AND content = ?",
            repository,
            content,
        )
        if known and known[0] == row:
            return
        self._db.execute(_PUT_MANIFEST, (repository, content, *row))
        if not known:
            self._mark(repository, content)
            self._mark_subject(repository, subject)

    def _remove_manifest(self, repository: int, digest: Digest) -> None:
        content = self._content_of(digest)
        for subject, traits, downloads in self._rows(
            "SELECT subject, traits, downloads FROM manifest WHERE repository = ? AND content = ?", repository, content
        ):
            assert content is not None, "it has a row"
            for table in ("image", "attached"):
                query = f"SELECT tag FROM {table} WHERE repository = ? AND content = ?"  # noqa: S608 (a constant)
                for (tag,) in self._rows(query, repository, content):
                    self._remove_tag(repository, tag)
            for trait in _traits(traits):
                self._traits[repository, trait] -= 1
            self._mark(repository, content)
            self._mark_subject(repository, subject)
            for table in ("part", "platform"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE repository = ? AND content = ?",  # noqa: S608 (a constant)
                    (repository, content),
                )
            self._db.execute("DELETE FROM manifest WHERE repository = ? AND content = ?", (repository, content))
            self._db.execute("UPDATE repository SET downloads = downloads - ? WHERE id = ?", (downloads, repository))
            self._released.add(content)

    # --- tags ---

    def _put_tag(self, repository: int, row: TagRow) -> None:
        manifest = self._rows(
            "SELECT content, updated_ns, size, kind, signed, downloads FROM manifest "
            "WHERE repository = ? AND content = (SELECT id FROM content WHERE digest = ?)",
            repository,
            pack(row.digest),
        )
        if not manifest:  # a later change of the log has it
            self._remove_tag(repository, row.name)
            return
        content, *derived = manifest[0]
        subject = attached_subject(row.name)
        if subject is not None:
            self._db.execute("INSERT OR REPLACE INTO attached VALUES (?,?,?)", (repository, row.name, content))
            self._mark_subject(repository, pack(subject))
            return
        known = self._rows(
            "SELECT id, content, tagged_ns, moved_ns FROM image WHERE repository = ? AND tag = ?", repository, row.name
        )
        if not known:
            values = (repository, row.name, version_key(row.name), content, row.created_ns, row.moved_ns, *derived)
            self._db.execute(_INSERT_IMAGE, (*image_range(repository), *values))
            image = self._db.connection.last_insert_rowid()
            self._db.execute("INSERT INTO tag_text (rowid, tag) VALUES (?,?)", (image, row.name))
            self._images[repository] += 1
            self._retagged[repository, content] += 1
            return
        image, before, *times = known[0]
        if [before, *times] == [content, row.created_ns, row.moved_ns]:
            return
        self._db.execute(_MOVE_IMAGE, (content, row.created_ns, row.moved_ns, *derived, image))
        self._retagged[repository, before] -= 1
        self._retagged[repository, content] += 1

    def _remove_tag(self, repository: int, tag: Tag) -> None:
        subject = attached_subject(tag)
        if subject is not None:
            self._db.execute("DELETE FROM attached WHERE repository = ? AND tag = ?", (repository, tag))
            self._mark_subject(repository, pack(subject))
            return
        for image, content in self._rows(
            "SELECT id, content FROM image WHERE repository = ? AND tag = ?", repository, tag
        ):
            self._db.execute("DELETE FROM image WHERE id = ?", (image,))
            self._db.execute("DELETE FROM tag_text WHERE rowid = ?", (image,))
            self._images[repository] -= 1
            self._retagged[repository, content] -= 1

    # --- what is derived ---

    def _mark(self, repository: int, content: int) -> None:
        """Derive again what follows from a manifest that came, goes or changed: its own, and that of its indexes."""
        found = [content]
        seen = {content}
        for _ in range(_DEPTH_LIMIT):
            self._stale.update((repository, each) for each in found)
            found = [
                parent for each in found for (parent,) in self._rows(_PARENTS, repository, each) if parent not in seen
            ]
            seen.update(found)
            if not found:
                return

    def _mark_subject(self, repository: int, subject: bytes | None) -> None:
        for (content,) in self._rows("SELECT id FROM content WHERE digest = ?", subject) if subject else ():
            self._stale.add((repository, content))

    def _derive(self) -> None:
        """Write the parts, kind, size, time and signature of what is marked."""
        for repository, content in self._stale:
            for digest, is_index, kind, size, created_ns, *before, tags in self._rows(_DERIVED, repository, content):
                if is_index:
                    kind, size, created_ns = self._put_index(repository, content, kind)  # noqa: PLW2901
                elif not before[0]:  # it is new
                    self._db.execute("INSERT INTO part VALUES (?,?,0,?)", (repository, content, content))
                self._put_platforms(repository, content)
                name = unpack(digest).replace(":", "-", 1) + SIGNATURE_SUFFIX
                ((signed,),) = self._rows(_IS_SIGNED, repository, digest, name)
                derived = [kind, size, created_ns, signed]
                for table in ("manifest", "image") if derived != before else ():
                    if table == "manifest" or tags or self._retagged[repository, content]:
                        self._db.execute(
                            f"UPDATE {table} SET kind = ?, size = ?, updated_ns = ?, signed = ? "  # noqa: S608 (a constant)
                            "WHERE repository = ? AND content = ?",
                            (*derived, repository, content),
                        )
                self._retagged[repository, content] += 0
        self._stale.clear()

    def _put_index(self, repository: int, content: int, kind: str) -> tuple[str, int, int | None]:
        """Write the parts of an index; return its kind, size and time. Without parts it has the kind given."""
        parts = list(self._parts(repository, content))
        known = self._rows(
            "SELECT manifest FROM part WHERE repository = ? AND content = ? ORDER BY ordinal", repository, content
        )
        if [each for (each,) in known] != parts:
            self._db.execute("DELETE FROM part WHERE repository = ? AND content = ?", (repository, content))
            rows = [(repository, content, ordinal, each) for ordinal, each in enumerate(parts)]
            self._insert("INSERT INTO part VALUES (?,?,?,?)", rows)
        found = [self._rows("SELECT kind, size, created_ns FROM content WHERE id = ?", each)[0] for each in parts]
        times = [created_ns for _, _, created_ns in found if created_ns is not None]
        size = min(sum(each for _, each, _ in found), _SIZE_LIMIT)
        return found[0][0] if found else kind, size, max(times, default=None)

    def _put_platforms(self, repository: int, content: int) -> None:
        """Write the platforms of the parts."""
        found = self._rows(_PART_PLATFORMS, repository, content)
        if found != self._rows(_PLATFORMS, repository, content):
            self._db.execute("DELETE FROM platform WHERE repository = ? AND content = ?", (repository, content))
            self._insert("INSERT INTO platform VALUES (?,?,?,?,?)", [(repository, *each, content) for each in found])

    def _parts(self, repository: int, index: int) -> Iterator[int]:
        """Yield the manifests that an index lists and that the repository has, also of indexes in it, in order."""
        seen = {index}
        left = [(content, is_index, 1) for content, is_index in self._rows(_CHILDREN, repository, index)][::-1]
        count = 0
        while left and count < PARTS_LIMIT:
            content, is_index, depth = left.pop()
            if content in seen:
                continue
            seen.add(content)
            if not is_index:
                count += 1
                yield content
            elif depth < _DEPTH_LIMIT:
                inner = self._rows(_CHILDREN, repository, content)
                left += [(each, is_inner, depth + 1) for each, is_inner in inner][::-1]

    def _retag(self) -> None:
        """Write how many tags manifests have, and the traits that tagged ones add to their repository."""
        for (repository, content), more in self._retagged.items():
            for tags, text, *about in self._rows(_TAGGED, repository, content):
                before = _traits(text)
                after = self._traits_of(repository, content, *about) if tags + more else []
                if not more and after == before:
                    continue
                for trait in after:
                    self._traits[repository, trait] += 1
                for trait in before:
                    self._traits[repository, trait] -= 1
                self._db.execute(
                    "UPDATE manifest SET tags = tags + ?, traits = ? WHERE repository = ? AND content = ?",
                    (more, msgspec.json.encode(after).decode(), repository, content),
                )
        self._retagged.clear()

    def _traits_of(
        self, repository: int, content: int, kind: str, signed: int, is_index: int, vendor: str
    ) -> list[_Trait]:
        """Return each property of an image once, in order."""
        found: set[_Trait] = {("kind", kind, "", ""), ("signed", str(signed), "", "")}
        found.update(("platform", *platform) for platform in self._rows(_PLATFORMS, repository, content))
        vendors = self._rows(_PART_VENDORS, repository, content) if is_index else ()
        found.update(("vendor", each, "", "") for each in (vendor, *(row[0] for row in vendors)) if each)
        return sorted(found)

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return self._db.execute(statement, values).fetchall()


def attached_subject(tag: str) -> Digest | None:
    """Return the digest that a tag of a signature or of the referrers tag scheme is about; None: it is of neither."""
    found = _ATTACHED.fullmatch(tag)
    try:
        return None if found is None else parse_digest(f"{found[1]}:{found[2]}")
    except InvalidDigestError:
        return None


def _kind(manifest: ManifestFacts, artifact_type: str | None) -> ImageKind:
    if manifest.is_index:
        return ImageKind.ARTIFACT if artifact_type else ImageKind.IMAGE
    return kind_of(artifact_type, manifest.config)


def _traits(text: str) -> list[_Trait]:
    return [(name, value, arch, variant) for name, value, arch, variant in msgspec.json.decode(text)]
