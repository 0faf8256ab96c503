"""What a server says of images, repositories, vulnerabilities and referrers, and of access to them.

The fields and their order are those of zot's zli, whose JSON and YAML show all of them, asked for or not. A field that
the server leaves out or sets to null has its zero value; a list then is None, which JSON shows as null.
"""

from typing import Any, ClassVar, NewType, TypeVar

import msgspec

Time = NewType("Time", str)
"""A time in RFC 3339."""

ZERO_TIME = Time("0001-01-01T00:00:00Z")


class SearchRecord(msgspec.Struct, rename="pascal"):
    """An object of the server, by the names of its GraphQL schema."""

    spelling: ClassVar[str] = "camel"
    """How JSON spells the names: `camel`, `pascal` or `lower`."""


Kind = TypeVar("Kind", bound=SearchRecord)


class PlatformRecord(SearchRecord):
    """A platform; `arch` may have the variant."""

    os: str = ""
    arch: str = ""
    variant: str = ""


class CveCounts(SearchRecord):
    """How many vulnerabilities there are of each severity."""

    max_severity: str = ""
    unknown_count: int = 0
    low_count: int = 0
    medium_count: int = 0
    high_count: int = 0
    critical_count: int = 0
    count: int = 0


class LayerRecord(SearchRecord):
    """A layer; `size` is a decimal number."""

    size: str = ""
    digest: str = ""
    score: int = 0


class AnnotationRecord(SearchRecord):
    """An annotation."""

    spelling = "lower"
    key: str = ""
    value: str = ""


class ReferrerRecord(SearchRecord):
    """A manifest that has another as its subject."""

    spelling = "lower"
    media_type: str = ""
    artifact_type: str = ""
    size: int = 0
    digest: str = ""
    annotations: list[AnnotationRecord] | None = None


class ManifestRecord(SearchRecord):
    """A manifest of an image: one for each platform."""

    digest: str = ""
    config_digest: str = ""
    last_updated: Time = ZERO_TIME
    size: str = ""
    platform: PlatformRecord = msgspec.field(default_factory=PlatformRecord)
    is_signed: bool = False
    download_count: int = 0
    layers: list[LayerRecord] | None = None
    history: None = None
    vulnerabilities: CveCounts = msgspec.field(default_factory=CveCounts)
    referrers: list[ReferrerRecord] | None = None
    artifact_type: str = ""
    signature_info: None = None


class ImageRecord(SearchRecord):
    """An image by its tag; `size` is a decimal number."""

    repo_name: str = ""
    tag: str = ""
    digest: str = ""
    media_type: str = ""
    manifests: list[ManifestRecord] | None = None
    size: str = ""
    download_count: int = 0
    last_updated: Time = ZERO_TIME
    last_pull_timestamp: Time = ZERO_TIME
    push_timestamp: Time = ZERO_TIME
    tagged_timestamp: Time = ZERO_TIME
    description: str = ""
    is_signed: bool = False
    licenses: str = ""
    labels: str = ""
    title: str = ""
    source: str = ""
    documentation: str = ""
    authors: str = ""
    vendor: str = ""
    vulnerabilities: CveCounts = msgspec.field(default_factory=CveCounts)
    referrers: list[ReferrerRecord] | None = None
    signature_info: None = None
    artifact_type: str = ""


class RepositoryRecord(SearchRecord):
    """A repository found by a search."""

    name: str = ""
    last_updated: Time = ZERO_TIME
    size: str = ""
    platforms: list[PlatformRecord] | None = None
    vendors: list[str] | None = None
    is_starred: bool = False
    is_bookmarked: bool = False
    star_count: int = 0
    download_count: int = 0
    newest_image: ImageRecord = msgspec.field(default_factory=ImageRecord)


class PackageRecord(SearchRecord):
    """A package that has a vulnerability."""

    spelling = "pascal"
    name: str = ""
    package_path: str = ""
    installed_version: str = ""
    fixed_version: str = ""


class CveRecord(SearchRecord):
    """A vulnerability of an image."""

    spelling = "pascal"
    id: str = ""
    severity: str = ""
    title: str = ""
    description: str = ""
    package_list: list[PackageRecord] | None = None


class CveListRecord(SearchRecord):
    """The vulnerabilities of an image; `summary` counts all, also where only some are listed."""

    spelling = "pascal"
    tag: str = ""
    cve_list: list[CveRecord] | None = msgspec.field(default=None, name="CVEList")
    summary: CveCounts = msgspec.field(default_factory=CveCounts)


class ImageIdentifierRecord(SearchRecord):
    """An image as a comparison names it."""

    repo: str = ""
    tag: str = ""
    digest: str = ""
    platform: PlatformRecord = msgspec.field(default_factory=PlatformRecord)


class CveDiffRecord(SearchRecord):
    """The vulnerabilities of an image that another does not have."""

    minuend: ImageIdentifierRecord = msgspec.field(default_factory=ImageIdentifierRecord)
    subtrahend: ImageIdentifierRecord = msgspec.field(default_factory=ImageIdentifierRecord)
    cve_list: list[CveRecord] | None = msgspec.field(default=None, name="CVEList")
    summary: CveCounts = msgspec.field(default_factory=CveCounts)


class AccessExplanation(msgspec.Struct):
    """A decision with its reasons, as the registry explains it."""

    allowed: bool
    action: str
    repository: str
    rule: str
    user: str = ""
    groups: tuple[str, ...] = ()
    reference: str = ""
    pattern: str = ""
    reason: str = ""
    message: str = ""
    would_allow: tuple[str, ...] = ()


def record(kind: type[Kind], value: object) -> Kind:
    """Return a record from what JSON has for it. Raises msgspec.ValidationError."""
    return msgspec.convert(_without_nulls(value), kind)


def _without_nulls(value: Any) -> Any:
    """Leave out what is null, in order that the default stands for it."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value if each is not None]
    return value
