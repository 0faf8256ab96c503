"""The interface of the search index: what pages, GraphQL and clients ask, and the rows that they get.

The index is a projection of the catalog. Every query takes what its principal may read, and hides all else before it
counts, sorts and pages: a hidden repository is a missing one. Counts of pulls are read from the statistics for the rows
of a page; everything else is as the index has it. Queries are bounded: a page has at most `PAGE_LIMIT` rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from zot.auth.decision import NO_CONTEXT, RequestContext
from zot.auth.principal import Principal
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag

PAGE_LIMIT = 1000
"""The most rows of one page. A caller that wants more asks for page after page."""

TEXT_LIMIT = 256
"""The longest text that is searched for; a longer one finds nothing."""

Visible = frozenset[Repository] | None
"""The repositories that a principal may read; None: all, also those that are yet to come.

A caller keeps one set for each principal: the index remembers by it what it has computed (`VisibleRepositories`).
"""


class SearchUnavailableError(Exception):
    """The index cannot be read now: it is being made again, or too many queries are waiting. It passes."""


# --- what is asked ---


class RepositorySort(StrEnum):
    """The order of repositories. Equal ones are in the order of names."""

    RELEVANCE = "relevance"
    """By rank, least first; without a text by name."""
    NAME = "name"
    NAME_DESCENDING = "name descending"
    UPDATED = "updated"
    """By the creation of the newest image, newest first; unknown times last."""
    PUSHED = "pushed"
    """By the last push of a tag, latest first."""
    DOWNLOADS = "downloads"
    """Most first, by counts that are some seconds old."""
    STARS = "stars"
    """Most first, by `RepositoryQuery.stars`."""


class ImageSort(StrEnum):
    """The order of images. Equal ones are in the order of repositories, then tags."""

    NAME = "name"
    """By repository, then tag, in byte order."""
    NAME_DESCENDING = "name descending"
    UPDATED = "updated"
    """By creation, newest first; unknown times last."""
    PUSHED = "pushed"
    """By the last move of the tag, latest first."""
    DOWNLOADS = "downloads"
    """Most first, by counts that are some seconds old."""
    SIZE = "size"
    """Largest first."""


class ImageKind(StrEnum):
    """What a manifest is for."""

    IMAGE = "image"
    CHART = "chart"
    """A Helm chart."""
    ARTIFACT = "artifact"
    """Anything else: an SBOM, an attestation, a policy, files."""


class PageBounds(msgspec.Struct, frozen=True):
    """A part of a sorted result. Both are at least 0; an offset beyond the end gives an empty page."""

    limit: int = 50
    """At most `PAGE_LIMIT`; more is cut to it."""
    offset: int = 0


class ImageFilter(msgspec.Struct, frozen=True):
    """Conditions that all have to hold, and of each list one.

    A repository passes if each condition holds for an image of it, `os` and `arch` for the same.
    """

    os: tuple[str, ...] = ()
    """Operating systems, in any case."""
    arch: tuple[str, ...] = ()
    """Architectures, in any case: `arm64` finds every variant of it, `arm64/v8` that one."""
    kinds: tuple[ImageKind, ...] = ()
    signed: bool | None = None


class RepositoryQuery(msgspec.Struct, frozen=True):
    """Which repositories, in which order."""

    text: str = ""
    """Part of the name, in any case; empty: all."""
    filter: ImageFilter = ImageFilter()
    among: frozenset[Repository] | None = None
    """Only these: the user's stars or bookmarks."""
    without: frozenset[Repository] | None = None
    """None of these."""
    sort: RepositorySort = RepositorySort.UPDATED
    stars: Mapping[Repository, int] = msgspec.field(default_factory=dict)
    """How many users have starred each repository; needed by `RepositorySort.STARS`, and copied to the rows."""
    page: PageBounds = PageBounds()


class ImageQuery(msgspec.Struct, frozen=True):
    """Which tagged images, in which order. Tags of signatures and of the referrers tag scheme are none."""

    repository: Repository | None = None
    """Only of this one; None: of all."""
    tag: str | None = None
    """Exactly this tag."""
    tag_prefix: str = ""
    tag_contains: str = ""
    """Part of the tag, in any case."""
    digest: str | None = None
    """Part of the digest of the index, or of a manifest, config or layer of the image; empty: any image."""
    label: str | None = None
    """An annotation or a label of the config: `key`, or `key=value` for exactly that value."""
    filter: ImageFilter = ImageFilter()
    sort: ImageSort = ImageSort.NAME
    page: PageBounds = PageBounds()


# --- what is answered ---


class Platform(msgspec.Struct, frozen=True, order=True):
    """The platform of a manifest; empty: unknown."""

    os: str = ""
    arch: str = ""
    variant: str = ""

    @property
    def full_arch(self) -> str:
        """The architecture with its variant: `arm64/v8`."""
        return f"{self.arch}/{self.variant}" if self.variant else self.arch


class Layer(msgspec.Struct, frozen=True):
    """A layer of a manifest."""

    digest: Digest
    size: int
    media_type: str = ""


class History(msgspec.Struct, frozen=True):
    """An entry of a config's history: the command that made a layer, or none. Long texts are cut."""

    created_ns: int | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class SignatureTool(StrEnum):
    """A program that signs."""

    COSIGN = "cosign"
    NOTATION = "notation"


class Signature(msgspec.Struct, frozen=True):
    """A signature of a manifest, by a tag (cosign) or a referrer. Whether it is valid is not checked here."""

    tool: SignatureTool
    digest: Digest
    """Of the manifest that is the signature."""


class Description(msgspec.Struct, frozen=True):
    """What an image says of itself: annotations first, then labels of the config; the older names of both as well."""

    title: str = ""
    description: str = ""
    licenses: str = ""
    labels: str = ""
    source: str = ""
    documentation: str = ""
    vendor: str = ""
    authors: str = ""
    """Else the author of the config."""


class ManifestSummary(msgspec.Struct, frozen=True):
    """A manifest that is no index: what it and its config say. Unreadable configs leave fields empty."""

    digest: Digest
    media_type: str
    size: int
    """Of the manifest, its config and its layers, in bytes."""
    config_digest: Digest | None = None
    config_media_type: str = ""
    artifact_type: str = ""
    """The manifest's own, else the media type of its config."""
    kind: ImageKind = ImageKind.IMAGE
    platform: Platform = Platform()
    created_ns: int | None = None
    """The config's `created`, else that of the last entry of its history. Nanoseconds since the epoch, as all times."""
    layers: tuple[Layer, ...] = ()
    """At most 1024."""
    history: tuple[History, ...] = ()
    """At most 1024."""
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    """Of the config."""
    description: Description = Description()
    signatures: tuple[Signature, ...] = ()
    pulls: int = 0
    pulled_s: float | None = None


class ImageSummary(msgspec.Struct, frozen=True):
    """What a tag points to, or an untagged manifest."""

    repository: Repository
    tag: Tag | None
    digest: Digest
    media_type: str
    artifact_type: str
    kind: ImageKind
    size: int
    """Of an index: the sum of its manifests that are here."""
    updated_ns: int | None
    """When the newest of its manifests was created; None: unknown."""
    pushed_ns: int
    pushed_by: str
    tagged_ns: int | None
    """When the tag's name appeared; None: untagged."""
    moved_ns: int | None
    """When the tag began to point here; None: untagged."""
    manifests: tuple[ManifestSummary, ...]
    """One, or those of an index that are here, in its order, also of indexes within it: at most 256."""
    description: Description
    annotations: dict[str, str]
    signatures: tuple[Signature, ...]
    """Of `digest` itself, which may be an index; the manifests have their own."""
    pulls: int = 0
    pulled_s: float | None = None

    @property
    def signed(self) -> bool:
        """Whether `digest` has a signature."""
        return bool(self.signatures)


class RepositorySummary(msgspec.Struct, frozen=True):
    """A repository that has a tagged image."""

    name: Repository
    tags: int
    size: int
    """Its present blobs and manifests, each once, in bytes."""
    updated_ns: int | None
    """When the newest image was created; None: unknown."""
    pushed_ns: int
    """When a tag was last pushed."""
    platforms: tuple[Platform, ...]
    """Of its images, in order: at most 64."""
    vendors: tuple[str, ...]
    """At most 64."""
    newest: ImageSummary | None
    """The image that was created last."""
    downloads: int
    """Pulls of all its manifests, some seconds old."""
    stars: int = 0
    rank: int = 0
    """How well the name fits the text: 0 is the same, more is less."""


class RepositoryPage(msgspec.Struct, frozen=True):
    """A page of repositories, and how many there are in all."""

    total: int
    rows: tuple[RepositorySummary, ...]


class ImagePage(msgspec.Struct, frozen=True):
    """A page of images, and how many there are in all."""

    total: int
    rows: tuple[ImageSummary, ...]


class Facets(msgspec.Struct, frozen=True):
    """How many repositories of a result have an image with each property. Most first."""

    platforms: tuple[tuple[Platform, int], ...]
    """At most 64."""
    kinds: tuple[tuple[ImageKind, int], ...]
    signed: int
    total: int


class Referrer(msgspec.Struct, frozen=True):
    """A manifest that names another as its subject."""

    digest: Digest
    media_type: str
    artifact_type: str
    size: int
    annotations: dict[str, str]
    content_size: int = 0
    """With its config and layers, in bytes."""


class Suggestion(msgspec.Struct, frozen=True):
    """What a text may be the beginning of: a repository, or an image of it."""

    repository: Repository
    tag: Tag | None = None
    digest: Digest | None = None
    """The one that was searched for, in the image."""


class RepositoryUsage(msgspec.Struct, frozen=True):
    """Bytes of what the manifests of a repository reference, each digest once."""

    bytes: int
    unique_bytes: int
    """Of that, what no other repository references."""
    untagged_bytes: int
    """Of that, what no tag of the repository needs: deleting the untagged manifests frees it."""
    untagged: int
    """Manifests that no tag needs."""

    @property
    def shared_bytes(self) -> int:
        """What other repositories reference as well; stored once where content is deduplicated."""
        return self.bytes - self.unique_bytes


class DayOfGrowth(msgspec.Struct, frozen=True):
    """The bytes of a repository that came on a day and are still there."""

    day: int
    """Days since the epoch, in UTC."""
    bytes: int
    """Each digest once, on the first day on which a manifest that references it was pushed."""


class ImageUsage(msgspec.Struct, frozen=True):
    """Bytes of what an image references, each digest once."""

    bytes: int
    unique_bytes: int
    """Of that, what no other tag of the repository needs: deleting the tag frees it."""


class IndexStatus(msgspec.Struct, frozen=True):
    """How far the index is."""

    complete: bool
    """It has everything but the latest changes. If not, it is being filled: results are partial."""
    importing: bool
    """The catalog does not have all layouts of the store yet, which a first start imports."""
    done: int
    """Repositories that are in it, while it is being filled."""
    total: int
    """Repositories to be in it."""
    behind: int
    """Changes of the catalog that it does not have yet."""
    repositories: int
    images: int


class Search(Protocol):
    """The queries. All raise SearchUnavailableError; none blocks the event loop."""

    async def caught_up(self) -> bool:
        """Wait until the index has all that was acknowledged before the call, at most 1 s; tell whether it has.

        A request calls it once, before its first query. While the index is being filled it does not wait, and tells
        that it has not, as it does while layouts are imported.
        """

    async def status(self) -> IndexStatus:
        """Tell how far the index is."""

    async def names(self) -> frozenset[Repository]:
        """Return the names of all repositories; the same object until that changes.

        Also of those without a tag: their history and their untagged manifests can be read.
        """

    async def repositories(self, visible: Visible, query: RepositoryQuery) -> RepositoryPage:
        """Return a page of repositories that have a tagged image."""

    async def repository(self, visible: Visible, repository: Repository) -> RepositorySummary | None:
        """Return a repository, None if it is hidden, missing or has no tagged image."""

    async def facets(self, visible: Visible, query: RepositoryQuery) -> Facets:
        """Count what the repositories of a query have; its page and order are ignored."""

    async def images(self, visible: Visible, query: ImageQuery) -> ImagePage:
        """Return a page of tagged images."""

    async def untagged(self, visible: Visible, repository: Repository, page: PageBounds) -> ImagePage:
        """Return a page of the manifests that no tag needs, in the order of digests.

        What an index that is tagged lists is needed; so is what has a subject that is.
        """

    async def image(self, visible: Visible, repository: Repository, reference: Reference) -> ImageSummary | None:
        """Return the image of a tag or digest, None if it is hidden or missing."""

    async def base_images(
        self,
        visible: Visible,
        image: ImageSummary,
        *,
        manifest: Digest | None = None,
        sort: ImageSort = ImageSort.UPDATED,
        page: PageBounds = PageBounds(),  # noqa: B008 (it is frozen)
    ) -> ImagePage:
        """Return other images whose layers are the first ones of this image, or all of them.

        `manifest` restricts it to one of the image's manifests. Images without layers have none.
        """

    async def derived_images(
        self,
        visible: Visible,
        image: ImageSummary,
        *,
        manifest: Digest | None = None,
        sort: ImageSort = ImageSort.UPDATED,
        page: PageBounds = PageBounds(),  # noqa: B008
    ) -> ImagePage:
        """Return the images of which this one is a base image."""

    async def referrers(
        self, visible: Visible, repository: Repository, subjects: Sequence[Digest], artifact_types: Sequence[str] = ()
    ) -> dict[Digest, tuple[Referrer, ...]]:
        """Return the referrers of each subject, at most `PAGE_LIMIT` in all, in the order of digests.

        No types: all of them. A subject without referrers is left out.
        """

    async def suggestions(self, visible: Visible, text: str, limit: int = 10) -> tuple[Suggestion, ...]:
        """Return what a text may stand for: `repo`, `repo:tag`, `:tag` or `sha256:...`, best first."""

    async def repository_usage(self, visible: Visible, repository: Repository) -> RepositoryUsage | None:
        """Return what a repository uses, None if it is hidden or missing."""

    async def growth(self, visible: Visible, repository: Repository) -> tuple[DayOfGrowth, ...]:
        """Return on which days the present bytes of a repository came, in order; a day without any is left out."""

    async def image_usage(self, visible: Visible, repository: Repository, tags: Sequence[Tag]) -> dict[Tag, ImageUsage]:
        """Return what images use, each for itself; a missing tag is left out."""

    async def freed_bytes(
        self, visible: Visible, repository: Repository, tags: Sequence[Tag], manifests: Sequence[Digest] = ()
    ) -> int:
        """Return how many bytes of the repository nothing needs if all these tags and manifests are deleted."""


class Visibility(Protocol):
    """Which repositories principals may read, by the policy of access control."""

    async def of(self, principal: Principal, context: RequestContext = NO_CONTEXT) -> Visible:
        """Return the repositories that the principal may read; None: all.

        Raises SearchUnavailableError, ThreadPoolBusyError.
        """
