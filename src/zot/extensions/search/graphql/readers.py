"""How the fields of the schema's objects are read from the rows of the index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from zot.extensions.search.graphql.selection import Read
from zot.extensions.search.interface import (
    ImageSummary,
    Layer,
    ManifestSummary,
    Platform,
    Referrer,
    RepositorySummary,
    Signature,
)
from zot.foundation import times
from zot.oci.digest import Digest

_NEVER = "1970-01-01T00:00:00Z"
"""What zot sends as the time of the last pull of what was never pulled."""

NOT_SCANNED: Mapping[str, object] = MappingProxyType(
    {
        "MaxSeverity": "",
        "Count": 0,
        "UnknownCount": 0,
        "LowCount": 0,
        "MediumCount": 0,
        "HighCount": 0,
        "CriticalCount": 0,
    }
)
"""The vulnerabilities of an image that was not scanned."""

Referrers = Mapping[Digest, Sequence[Referrer]]
NO_REFERRERS: Referrers = MappingProxyType({})


class ImageObject(NamedTuple):
    """An image, with what its row does not have."""

    row: ImageSummary
    manifests: Sequence[ManifestSummary]
    """The manifests to show: all, or those that were searched for."""
    referrers: Referrers = NO_REFERRERS
    """Of the image and of its manifests, if they were asked for."""
    deletable: bool | None = None
    """Whether the caller may delete the tag; None: it was not asked for."""


class ManifestObject(NamedTuple):
    """A manifest, with what its row does not have."""

    row: ManifestSummary
    referrers: Referrers


class RepositoryObject(NamedTuple):
    """A repository, with what its row does not have."""

    row: RepositorySummary
    newest: ImageObject | None
    stars: int
    starred: bool
    bookmarked: bool
    rank: int


class HistoryObject(NamedTuple):
    """A step of a build: the layer that it made, and what the config says of it."""

    layer: Layer | None
    description: Mapping[str, object]


def time_text(ns: int | None) -> str | None:
    """Return a time as RFC 3339; None if it is not known, or has no such form."""
    return times.time_text(ns) if ns is not None else None


def _pulled(seconds: float | None) -> str | None:
    return _NEVER if seconds is None else time_text(int(seconds * 1000) * 1_000_000)


def _manifests(image: ImageObject) -> list[ManifestObject]:
    return [ManifestObject(each, image.referrers) for each in image.manifests]


def _signatures(row: ImageSummary | ManifestSummary) -> list[dict[str, object]]:
    return [_signature(each) for each in row.signatures]


def _signature(row: Signature) -> dict[str, object]:
    # Trust needs keys, which this registry does not hold yet: no signature is trusted.
    return {"Tool": row.tool.value, "IsTrusted": False, "Author": ""}


def _history(manifest: ManifestObject) -> list[HistoryObject]:
    row = manifest.row
    if not row.history:
        return [HistoryObject(each, _UNKNOWN_STEP) for each in row.layers]
    return list(_steps(row))


_UNKNOWN_STEP: Mapping[str, object] = MappingProxyType(
    {"Created": None, "CreatedBy": None, "Author": None, "Comment": None, "EmptyLayer": None}
)


def _steps(row: ManifestSummary) -> Iterator[HistoryObject]:
    layers = iter(row.layers)
    for step in row.history:
        layer = None if step.empty_layer else next(layers, None)
        if layer is None and not step.empty_layer:
            return  # the config tells of more layers than the manifest has
        yield HistoryObject(
            layer,
            {
                "Created": time_text(step.created_ns),
                "CreatedBy": step.created_by,
                "Author": step.author,
                "Comment": step.comment,
                "EmptyLayer": step.empty_layer,
            },
        )


def _annotations(row: Referrer) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in row.annotations.items()]


_IMAGE: dict[str, Any] = {
    "RepoName": lambda of: of.row.repository,
    "Tag": lambda of: of.row.tag or "",
    "Digest": lambda of: of.row.digest,
    "MediaType": lambda of: of.row.media_type,
    "Manifests": _manifests,
    "Size": lambda of: str(of.row.size),
    "DownloadCount": lambda of: of.row.pulls,
    "LastPullTimestamp": lambda of: _pulled(of.row.pulled_s),
    "PushTimestamp": lambda of: time_text(of.row.pushed_ns),
    "PushedBy": lambda of: of.row.pushed_by,
    "TaggedTimestamp": lambda of: time_text(of.row.tagged_ns),
    "LastUpdated": lambda of: time_text(of.row.updated_ns),
    "Description": lambda of: of.row.description.description,
    "IsSigned": lambda of: of.row.signed,
    "SignatureInfo": lambda of: _signatures(of.row),
    "Licenses": lambda of: of.row.description.licenses,
    "Labels": lambda of: of.row.description.labels,
    "Title": lambda of: of.row.description.title,
    "Source": lambda of: of.row.description.source,
    "Documentation": lambda of: of.row.description.documentation,
    "Vendor": lambda of: of.row.description.vendor,
    "Authors": lambda of: of.row.description.authors,
    "Vulnerabilities": lambda _: NOT_SCANNED,
    "Referrers": lambda of: of.referrers.get(of.row.digest, ()),
    "IsDeletable": lambda of: of.deletable,
    "ArtifactType": lambda of: of.row.artifact_type,
}

_MANIFEST: dict[str, Any] = {
    "Digest": lambda of: of.row.digest,
    "ConfigDigest": lambda of: of.row.config_digest or "",
    "LastUpdated": lambda of: time_text(of.row.created_ns),
    "Size": lambda of: str(of.row.size),
    "IsSigned": lambda of: bool(of.row.signatures),
    "SignatureInfo": lambda of: _signatures(of.row),
    "Platform": lambda of: of.row.platform,
    "DownloadCount": lambda of: of.row.pulls,
    "Layers": lambda of: of.row.layers,
    "History": _history,
    "Vulnerabilities": lambda _: NOT_SCANNED,
    "Referrers": lambda of: of.referrers.get(of.row.digest, ()),
    "ArtifactType": lambda of: of.row.artifact_type,
}

_REPOSITORY: dict[str, Any] = {
    "Name": lambda of: of.row.name,
    "LastUpdated": lambda of: time_text(of.row.pushed_ns),
    "Size": lambda of: str(of.row.size),
    "Platforms": lambda of: of.row.platforms,
    "Vendors": lambda of: of.row.vendors,
    "NewestImage": lambda of: of.newest,
    "DownloadCount": lambda of: of.row.downloads,
    "StarCount": lambda of: of.stars,
    "IsBookmarked": lambda of: of.bookmarked,
    "IsStarred": lambda of: of.starred,
    "Rank": lambda of: of.rank,
}


def _os(of: Platform) -> str:
    return of.os


def _arch(of: Platform) -> str:
    return of.full_arch


READERS: Mapping[str, Mapping[str, Read]] = {
    "ImageSummary": _IMAGE,
    "ManifestSummary": _MANIFEST,
    "RepoSummary": _REPOSITORY,
    "LayerHistory": {"Layer": lambda of: of.layer, "HistoryDescription": lambda of: of.description},
    "LayerSummary": {"Size": lambda of: str(of.size), "Digest": lambda of: of.digest},
    "Platform": {"Os": _os, "Arch": _arch},
    "Referrer": {
        "MediaType": lambda of: of.media_type,
        "ArtifactType": lambda of: of.artifact_type,
        "Size": lambda of: of.size,
        "Digest": lambda of: of.digest,
        "Annotations": _annotations,
    },
}
"""Type -> field -> how it is read. Objects of other types are mappings by the schema's names."""
