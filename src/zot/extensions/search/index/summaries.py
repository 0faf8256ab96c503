"""Rows of the index as the summaries that queries return, without counts of pulls."""

from __future__ import annotations

from collections.abc import Sequence
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

_TRAITS_LIMIT = 64

_IMAGE = """
SELECT repository.id, repository.name, image.tag, image.tagged_ns, image.moved_ns, manifest.content
FROM image JOIN repository ON repository.id = image.repository
JOIN manifest ON manifest.repository = image.repository AND manifest.content = image.content
WHERE image.id = ?
"""
_MANIFEST = """
SELECT digest, media_type, artifact_type, is_index, manifest.kind, manifest.size, manifest.updated_ns,
  pushed_ns, pushed_by, signed, manifest_facts
FROM manifest JOIN content ON content.id = manifest.content WHERE repository = ? AND content = ?
"""
_PARTS = """
SELECT content.digest, media_type, artifact_type, content.kind, content.size, config, os, arch, variant, created_ns,
  manifest_facts, config_facts, signed
FROM part JOIN content ON content.id = part.manifest
JOIN manifest ON manifest.repository = part.repository AND manifest.content = part.manifest
WHERE part.repository = ? AND part.content = ? ORDER BY ordinal
"""
_SIGNATURES = """
SELECT content.tool, content.digest FROM manifest JOIN content ON content.id = manifest.content
WHERE manifest.repository = ?1 AND manifest.subject = ?2 AND content.tool IS NOT NULL
UNION
SELECT 'cosign', content.digest FROM attached JOIN content ON content.id = attached.content
WHERE attached.repository = ?1 AND attached.tag = ?3
ORDER BY 1, 2
"""
_REPOSITORY = "SELECT name, images, updated_ns, pushed_ns, newest, downloads FROM repository WHERE id = ?"
_TRAITS = """
SELECT value, arch, variant FROM trait WHERE name = ? AND repository = ? ORDER BY value, arch, variant LIMIT ?
"""


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
    return tuple(_image(snapshot, _Key(*key)) for image in images for (*key,) in [snapshot.rows(_IMAGE, image)[0]])


def manifest_image(snapshot: Snapshot, repository: int, name: Repository, content: int) -> ImageSummary:
    """Return the summary of a manifest of a repository, without a tag."""
    return _image(snapshot, _Key(repository, name, None, None, None, content))


def repository_summary(snapshot: Snapshot, repository: int, *, stars: int = 0, rank: int = 0) -> RepositorySummary:
    """Return the summary of a repository that has images; its size is not known to the index, and 0."""
    ((name, images, updated_ns, pushed_ns, newest, downloads),) = snapshot.rows(_REPOSITORY, repository)
    return RepositorySummary(
        name=name,
        tags=images,
        size=0,
        updated_ns=updated_ns,
        pushed_ns=pushed_ns,
        platforms=tuple(Platform(*row) for row in snapshot.rows(_TRAITS, "platform", repository, _TRAITS_LIMIT)),
        vendors=tuple(value for value, *_ in snapshot.rows(_TRAITS, "vendor", repository, _TRAITS_LIMIT)),
        newest=tagged_images(snapshot, [newest])[0] if newest is not None else None,
        downloads=downloads,
        stars=stars,
        rank=rank,
    )


def _image(snapshot: Snapshot, key: _Key) -> ImageSummary:
    (row,) = snapshot.rows(_MANIFEST, key.repository, key.content)
    digest, media_type, artifact_type, is_index, kind, size, updated_ns, pushed_ns, pushed_by, signed, facts = row
    parts = snapshot.rows(_PARTS, key.repository, key.content)
    manifest = msgspec.msgpack.decode(facts, type=ManifestFacts)
    manifests = tuple(_manifest(snapshot, key.repository, row) for row in parts)
    if is_index:
        description = description_of(manifest.annotations, {})
        signatures = _signatures(snapshot, key.repository, digest) if signed else ()
    else:
        description, signatures = manifests[0].description, manifests[0].signatures
    return ImageSummary(
        repository=key.name,
        tag=key.tag,
        digest=unpack(digest),
        media_type=media_type,
        artifact_type=artifact_type or "",
        kind=ImageKind(kind),
        size=size,
        updated_ns=updated_ns,
        pushed_ns=pushed_ns,
        pushed_by=pushed_by,
        tagged_ns=key.tagged_ns,
        moved_ns=key.moved_ns,
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
