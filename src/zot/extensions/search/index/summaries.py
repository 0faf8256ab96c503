"""Rows of the index as the summaries that queries return, without counts of pulls.

The rows of a page are read together: as many statements for a hundred as for one, but for signatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from zot.extensions.search.index.facts import ConfigFacts, ManifestFacts, description_of
from zot.extensions.search.index.projection import SIGNATURE_SUFFIX
from zot.extensions.search.index.schema import unpack
from zot.extensions.search.index.snapshot import Snapshot
from zot.extensions.search.interface import (
    ImageKind,
    ImageSummary,
    ManifestSummary,
    Platform,
    RepositorySummary,
    Signature,
    SignatureTool,
)
from zot.oci.names import Repository, Tag

# The tables are joined in this order, from the few rows that are wanted.
_IMAGES = """
SELECT image.repository, repository.name, image.tag, image.tagged_ns, image.moved_ns, image.content
FROM json_each(?) AS wanted CROSS JOIN image ON image.id = wanted.value
CROSS JOIN repository ON repository.id = image.repository ORDER BY wanted.key
"""
_MANIFESTS = """
SELECT wanted.key, digest, media_type, artifact_type, is_index, manifest.kind, manifest.size, manifest.updated_ns,
  pushed_ns, pushed_by, signed, manifest_facts
FROM json_each(?) AS wanted
CROSS JOIN manifest ON manifest.repository = wanted.value ->> 0 AND manifest.content = wanted.value ->> 1
CROSS JOIN content ON content.id = manifest.content ORDER BY wanted.key
"""
_PARTS = """
SELECT wanted.key, content.digest, media_type, artifact_type, content.kind, content.size, config, os, arch, variant,
  created_ns, manifest_facts, config_facts, signed
FROM json_each(?) AS wanted
CROSS JOIN part ON part.repository = wanted.value ->> 0 AND part.content = wanted.value ->> 1
CROSS JOIN content ON content.id = part.manifest
CROSS JOIN manifest ON manifest.repository = part.repository AND manifest.content = part.manifest
ORDER BY wanted.key, ordinal
"""
_SIGNATURES = """
SELECT content.tool, content.digest FROM manifest JOIN content ON content.id = manifest.content
WHERE manifest.repository = ?1 AND manifest.subject = ?2 AND content.tool IS NOT NULL
UNION
SELECT 'cosign', content.digest FROM attached JOIN content ON content.id = attached.content
WHERE attached.repository = ?1 AND attached.tag = ?3
ORDER BY 1, 2
"""
_TRAITS = """
(
  SELECT json_group_array(json_array(value, arch, variant)) FROM (
    SELECT value, arch, variant FROM trait WHERE trait.name = '{0}' AND trait.repository = repository.id
    ORDER BY value, arch, variant LIMIT 64))
"""
_REPOSITORIES = f"""
SELECT name, images, updated_ns, pushed_ns, newest, downloads, {_TRAITS.format("platform")}, {_TRAITS.format("vendor")}
FROM json_each(?) AS wanted CROSS JOIN repository ON repository.id = wanted.value ORDER BY wanted.key
"""  # noqa: S608 (a statement of constants)


class _Key(NamedTuple):
    """What a summary is of."""

    repository: int
    name: Repository
    tag: Tag | None
    tagged_ns: int | None
    moved_ns: int | None
    content: int


def tagged_images(snapshot: Snapshot, images: Sequence[int]) -> tuple[ImageSummary, ...]:
    """Return the summaries of images by their numbers, in the same order."""
    return _summaries(snapshot, [_Key(*row) for row in snapshot.rows(_IMAGES, _json(images))])


def untagged_images(
    snapshot: Snapshot, repository: int, name: Repository, contents: Iterable[int]
) -> tuple[ImageSummary, ...]:
    """Return the summaries of manifests of a repository, without a tag, in the same order."""
    return _summaries(snapshot, [_Key(repository, name, None, None, None, content) for content in contents])


def repository_summaries(snapshot: Snapshot, repositories: Sequence[int]) -> tuple[RepositorySummary, ...]:
    """Return the summaries of repositories that have images, by their numbers, in the same order.

    The index does not know their sizes, which are 0, nor their stars.
    """
    rows = snapshot.rows(_REPOSITORIES, _json(repositories))
    newest = iter(tagged_images(snapshot, [newest for *_, newest, _, _, _ in rows if newest is not None]))
    return tuple(
        RepositorySummary(
            name=name,
            tags=images,
            size=0,
            updated_ns=updated_ns,
            pushed_ns=pushed_ns,
            platforms=tuple(Platform(*row) for row in msgspec.json.decode(platforms)),
            vendors=tuple(value for value, *_ in msgspec.json.decode(vendors)),
            newest=None if image is None else next(newest),
            downloads=downloads,
        )
        for name, images, updated_ns, pushed_ns, image, downloads, platforms, vendors in rows
    )


def _summaries(snapshot: Snapshot, keys: Sequence[_Key]) -> tuple[ImageSummary, ...]:
    """Return a summary for each key. Tags of the same manifest share what is said of it."""
    pairs = {(key.repository, key.content): key for key in keys}
    if not pairs:
        return ()
    wanted = _json(list(pairs))
    parts: dict[int, list[Any]] = {}
    for number, *row in snapshot.rows(_PARTS, wanted):
        parts.setdefault(number, []).append(row)
    known = {
        pair: _untagged(snapshot, key, row, parts.get(number, ()))
        for (pair, key), (number, *row) in zip(pairs.items(), snapshot.rows(_MANIFESTS, wanted), strict=True)
    }
    return tuple(
        msgspec.structs.replace(
            known[key.repository, key.content], tag=key.tag, tagged_ns=key.tagged_ns, moved_ns=key.moved_ns
        )
        for key in keys
    )


def _untagged(snapshot: Snapshot, key: _Key, row: Sequence[Any], parts: Iterable[Any]) -> ImageSummary:
    digest, media_type, artifact_type, is_index, kind, size, updated_ns, pushed_ns, pushed_by, signed, facts = row
    manifest = msgspec.msgpack.decode(facts, type=ManifestFacts)
    manifests = tuple(_manifest(snapshot, key.repository, part) for part in parts)
    if is_index:
        description = description_of(manifest.annotations, {})
        signatures = _signatures(snapshot, key.repository, digest) if signed else ()
    else:
        description, signatures = manifests[0].description, manifests[0].signatures
    return ImageSummary(
        repository=key.name,
        tag=None,
        digest=unpack(digest),
        media_type=media_type,
        artifact_type=artifact_type or "",
        kind=ImageKind(kind),
        size=size,
        updated_ns=updated_ns,
        pushed_ns=pushed_ns,
        pushed_by=pushed_by,
        tagged_ns=None,
        moved_ns=None,
        manifests=manifests,
        description=description,
        annotations=manifest.annotations,
        signatures=signatures,
    )


def _manifest(snapshot: Snapshot, repository: int, row: Any) -> ManifestSummary:
    digest, media_type, artifact_type, kind, size, config_digest, *platform, created_ns, facts, config, signed = row
    manifest = msgspec.msgpack.decode(facts, type=ManifestFacts)
    said = msgspec.msgpack.decode(config, type=ConfigFacts)
    return ManifestSummary(
        digest=unpack(digest),
        media_type=media_type,
        size=size,
        config_digest=unpack(config_digest) if config_digest else None,
        config_media_type=manifest.config.media_type if manifest.config else "",
        artifact_type=artifact_type or "",
        kind=ImageKind(kind),
        platform=Platform(*platform),
        created_ns=created_ns,
        layers=manifest.layers,
        history=said.history,
        annotations=manifest.annotations,
        labels=said.labels,
        description=description_of(manifest.annotations, said.labels, said.author),
        signatures=_signatures(snapshot, repository, digest) if signed else (),
    )


def _signatures(snapshot: Snapshot, repository: int, digest: bytes) -> tuple[Signature, ...]:
    name = unpack(digest).replace(":", "-", 1) + SIGNATURE_SUFFIX
    rows = snapshot.rows(_SIGNATURES, repository, digest, name)
    return tuple(Signature(SignatureTool(tool), unpack(each)) for tool, each in rows)


def _json(values: Sequence[object]) -> str:
    return msgspec.json.encode(values).decode()
