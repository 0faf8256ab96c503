"""The schema is zot's, in names, order and types: clients compare it by introspection."""

from __future__ import annotations

from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType

from zot.extensions.search.graphql.queries import RESOLVERS
from zot.extensions.search.graphql.readers import READERS
from zot.extensions.search.graphql.schema import query_type, schema

QUERIES = {
    "CVEListForImage": (
        "image:String! requestedPage:PageInput searchedCVE:String excludedCVE:String severity:String",
        "CVEResultForImage!",
    ),
    "CVEDiffListForImages": (
        "minuend:ImageInput! subtrahend:ImageInput! requestedPage:PageInput searchedCVE:String excludedCVE:String",
        "CVEDiffResult!",
    ),
    "ImageListForCVE": ("id:String! filter:Filter requestedPage:PageInput", "PaginatedImagesResult!"),
    "ImageListWithCVEFixed": (
        "id:String! image:String! filter:Filter requestedPage:PageInput",
        "PaginatedImagesResult!",
    ),
    "ImageListForDigest": ("id:String! requestedPage:PageInput", "PaginatedImagesResult!"),
    "RepoListWithNewestImage": ("requestedPage:PageInput", "PaginatedReposResult!"),
    "ImageList": ("repo:String! requestedPage:PageInput", "PaginatedImagesResult!"),
    "ExpandedRepoInfo": ("repo:String!", "RepoInfo!"),
    "GlobalSearch": ("query:String! filter:Filter requestedPage:PageInput", "GlobalSearchResult!"),
    "DerivedImageList": ("image:String! digest:String requestedPage:PageInput", "PaginatedImagesResult!"),
    "BaseImageList": ("image:String! digest:String requestedPage:PageInput", "PaginatedImagesResult!"),
    "Image": ("image:String!", "ImageSummary!"),
    "Referrers": ("repo:String! digest:String! type:[String!]", "[Referrer]!"),
    "StarredRepos": ("requestedPage:PageInput", "PaginatedReposResult!"),
    "BookmarkedRepos": ("requestedPage:PageInput", "PaginatedReposResult!"),
}

TYPES = {
    "CVEResultForImage": "Tag CVEList:[CVE] Summary:ImageVulnerabilitySummary Page:PageInfo",
    "CVEDiffResult": "Minuend:ImageIdentifier! Subtrahend:ImageIdentifier! CVEList:[CVE]"
    " Summary:ImageVulnerabilitySummary Page:PageInfo",
    "ImageIdentifier": "Repo:String! Tag:String! Digest Platform:Platform",
    "CVE": "Id Title Description Reference Severity PackageList:[PackageInfo]",
    "PackageInfo": "Name PackagePath InstalledVersion FixedVersion",
    "RepoInfo": "Images:[ImageSummary] Summary:RepoSummary",
    "GlobalSearchResult": "Page:PageInfo Images:[ImageSummary] Repos:[RepoSummary] Layers:[LayerSummary]",
    "ImageSummary": "RepoName Tag Digest MediaType Manifests:[ManifestSummary] Size DownloadCount:Int"
    " LastPullTimestamp:Time PushTimestamp:Time PushedBy TaggedTimestamp:Time LastUpdated:Time Description"
    " IsSigned:Boolean SignatureInfo:[SignatureSummary] Licenses Labels Title Source Documentation Vendor Authors"
    " Vulnerabilities:ImageVulnerabilitySummary Referrers:[Referrer] IsDeletable:Boolean ArtifactType",
    "ManifestSummary": "Digest ConfigDigest LastUpdated:Time Size IsSigned:Boolean SignatureInfo:[SignatureSummary]"
    " Platform:Platform DownloadCount:Int Layers:[LayerSummary] History:[LayerHistory]"
    " Vulnerabilities:ImageVulnerabilitySummary Referrers:[Referrer] ArtifactType",
    "ImageVulnerabilitySummary": "MaxSeverity Count:Int UnknownCount:Int LowCount:Int MediumCount:Int HighCount:Int"
    " CriticalCount:Int",
    "RepoSummary": "Name LastUpdated:Time Size Platforms:[Platform] Vendors:[String] NewestImage:ImageSummary"
    " DownloadCount:Int StarCount:Int IsBookmarked:Boolean IsStarred:Boolean Rank:Int",
    "LayerSummary": "Size Digest",
    "HistoryDescription": "Created:Time CreatedBy Author Comment EmptyLayer:Boolean",
    "LayerHistory": "Layer:LayerSummary HistoryDescription:HistoryDescription",
    "Annotation": "Key Value",
    "Referrer": "MediaType ArtifactType Size:Int Digest Annotations:[Annotation]!",
    "Platform": "Os Arch",
    "SignatureSummary": "Tool IsTrusted:Boolean Author",
    "PageInfo": "TotalCount:Int! ItemCount:Int!",
    "PaginatedReposResult": "Page:PageInfo Results:[RepoSummary!]!",
    "PaginatedImagesResult": "Page:PageInfo Results:[ImageSummary!]!",
    "PageInput": "limit:Int offset:Int sortBy:SortCriteria",
    "ImageInput": "Repo:String! Tag:String! Digest Platform:PlatformInput",
    "PlatformInput": "Os Arch",
    "Filter": "Os:[String] Arch:[String] HasToBeSigned:Boolean IsBookmarked:Boolean IsStarred:Boolean",
}


def test_each_query_has_the_arguments_of_zot_in_order() -> None:
    """zli refuses a server on which a query has one more, one less, or another order."""
    queries = query_type().fields
    assert list(queries) == list(QUERIES)
    for name, (arguments, result) in QUERIES.items():
        assert " ".join(f"{key}:{each.type}" for key, each in queries[name].args.items()) == arguments
        assert str(queries[name].type) == result


def test_each_type_has_the_fields_of_zot_in_order() -> None:
    """A field without a type in the table is a String."""
    for name, fields in TYPES.items():
        of = schema().type_map[name]
        assert isinstance(of, GraphQLObjectType | GraphQLInputObjectType)
        expected = [each if ":" in each else f"{each}:String" for each in fields.split()]
        assert [f"{key}:{each.type}" for key, each in of.fields.items()] == expected
    others = {name for name in schema().type_map if not name.startswith("__")} - set(TYPES)
    assert others == {"Query", "SortCriteria", "Time", "String", "Int", "Boolean"}
    criteria = schema().type_map["SortCriteria"]
    assert isinstance(criteria, GraphQLEnumType)
    assert list(criteria.values) == [
        "RELEVANCE",
        "UPDATE_TIME",
        "ALPHABETIC_ASC",
        "ALPHABETIC_DSC",
        "SEVERITY",
        "STARS",
        "DOWNLOADS",
    ]


def test_each_query_is_resolved_and_each_field_is_read() -> None:
    """What the schema has, the server can answer; a type without readers is read from mappings."""
    assert set(RESOLVERS) == set(query_type().fields)
    for name, readers in READERS.items():
        of = schema().type_map[name]
        assert isinstance(of, GraphQLObjectType)
        assert set(readers) == set(of.fields)
