"""The GraphQL queries that zli sends to `/v2/_zot/ext/search`."""

import json
from dataclasses import dataclass

_IMAGE = (
    "RepoName Tag Digest MediaType "
    "Manifests{Digest ConfigDigest Size Platform{Os Arch} IsSigned Layers{Size Digest} LastUpdated} "
    "LastUpdated Size IsSigned"
)
_IMAGES = f"Page{{TotalCount ItemCount}} Results{{{_IMAGE}}}"
_COUNTS = "Count UnknownCount LowCount MediumCount HighCount CriticalCount"
_IDENTIFIER = "{Repo Tag Digest Platform{Os Arch}}"


@dataclass(frozen=True)
class SchemaQuery:
    """A query of the schema: its arguments, in the schema's order, and what zli selects of its result."""

    name: str
    arguments: tuple[str, ...]
    selection: str

    def text(self, given: dict[str, str]) -> str:
        """Return the query with values for some arguments, each of them a GraphQL literal."""
        assert set(given) <= set(self.arguments)
        values = ", ".join(f"{name}: {given[name]}" for name in self.arguments if name in given)
        return f"{{{self.name}({values}) {{{self.selection}}}}}"


IMAGE_LIST = SchemaQuery("ImageList", ("repo", "requestedPage"), _IMAGES)
IMAGE_LIST_FOR_DIGEST = SchemaQuery("ImageListForDigest", ("id", "requestedPage"), _IMAGES)
BASE_IMAGE_LIST = SchemaQuery("BaseImageList", ("image", "digest", "requestedPage"), _IMAGES)
DERIVED_IMAGE_LIST = SchemaQuery("DerivedImageList", ("image", "digest", "requestedPage"), _IMAGES)
IMAGE_LIST_FOR_CVE = SchemaQuery("ImageListForCVE", ("id", "filter", "requestedPage"), _IMAGES)
IMAGE_LIST_WITH_CVE_FIXED = SchemaQuery("ImageListWithCVEFixed", ("id", "image", "filter", "requestedPage"), _IMAGES)
CVE_LIST_FOR_IMAGE = SchemaQuery(
    "CVEListForImage",
    ("image", "requestedPage", "searchedCVE", "excludedCVE", "severity"),
    "Tag CVEList{Id Title Severity Description PackageList{Name PackagePath InstalledVersion FixedVersion}} "
    f"Summary{{{_COUNTS} MaxSeverity}}",
)
CVE_DIFF_LIST_FOR_IMAGES = SchemaQuery(
    "CVEDiffListForImages",
    ("minuend", "subtrahend", "requestedPage", "searchedCVE", "excludedCVE"),
    f"Minuend{_IDENTIFIER} Subtrahend{_IDENTIFIER} "
    "CVEList{Id Title Description Severity Reference PackageList{Name InstalledVersion FixedVersion}} "
    f"Summary{{{_COUNTS}}}",
)
GLOBAL_SEARCH = SchemaQuery(
    "GlobalSearch",
    ("query", "filter", "requestedPage"),
    f"Page{{TotalCount ItemCount}} Images{{{_IMAGE}}} "
    "Repos{Name Platforms{Os Arch} LastUpdated Size DownloadCount StarCount}",
)
REFERRERS = SchemaQuery(
    "Referrers", ("repo", "digest", "type"), "ArtifactType Digest MediaType Size Annotations{Key Value}"
)

SCHEMA = "{__schema{queryType{fields{name args{name}}}}}"
"""Asks a server which queries it has, with their arguments."""


def literal(text: str) -> str:
    """Return a string as GraphQL writes it."""
    return json.dumps(text, ensure_ascii=False)


def page(limit: int, offset: int, criterion: str | None) -> str:
    """Return a PageInput; without a criterion the server sorts as it does by default."""
    sorting = f", sortBy: {criterion}" if criterion else ""
    return f"{{limit: {limit}, offset: {offset}{sorting}}}"
