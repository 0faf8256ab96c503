"""The queries of the schema: from arguments to rows of the index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn, Protocol

from msgspec.structs import replace

from zot.extensions.search.graphql.arguments import (
    Arguments,
    DigestText,
    ImageReference,
    RepositoryText,
    Slice,
    image_filter,
    image_reference,
    image_sort,
    repository_name,
    repository_sort,
    requested_slice,
    search_text,
    searched_slice,
)
from zot.extensions.search.graphql.errors import FieldError
from zot.extensions.search.graphql.objects import Caller, Objects, Sources
from zot.extensions.search.graphql.readers import ImageObject, RepositoryObject
from zot.extensions.search.graphql.rows import Rows, fetch
from zot.extensions.search.graphql.selection import NOTHING, Selection
from zot.extensions.search.interface import (
    ImagePage,
    ImageQuery,
    ImageSort,
    ImageSummary,
    PageBounds,
    RepositoryPage,
    RepositoryQuery,
    RepositorySort,
    RepositorySummary,
    Visible,
)
from zot.oci.digest import Digest, InvalidDigestError, parse_digest
from zot.oci.names import Repository

_UNKNOWN_REPOSITORY = "repo metadata not found for given repo name"
_NO_ROWS = {"TotalCount": 0, "ItemCount": 0}


class _Related(Protocol):
    """`Search.base_images` or `Search.derived_images`."""

    async def __call__(
        self, visible: Visible, image: ImageSummary, *, manifest: Digest | None, sort: ImageSort, page: PageBounds
    ) -> ImagePage: ...


class Queries:
    """The queries of one request. They raise FieldError and SearchUnavailableError."""

    def __init__(self, sources: Sources, caller: Caller) -> None:
        self._search = sources.search
        self._policy = sources.policy
        self._caller = caller
        self._objects = Objects(sources, caller)

    # --- repositories ---

    async def repositories(self, arguments: Arguments, selected: Selection) -> object:
        """RepoListWithNewestImage: all repositories."""
        return await self._repositories(arguments, selected, None)

    async def starred(self, arguments: Arguments, selected: Selection) -> object:
        """StarredRepos: the repositories with a star of the caller."""
        return await self._repositories(arguments, selected, (await self._objects.marks()).starred)

    async def bookmarked(self, arguments: Arguments, selected: Selection) -> object:
        """BookmarkedRepos: the repositories with a bookmark of the caller."""
        return await self._repositories(arguments, selected, (await self._objects.marks()).bookmarked)

    async def expanded(self, arguments: Arguments, selected: Selection) -> object:
        """ExpandedRepoInfo: a repository with all its tags."""
        name = repository_name(arguments["repo"])
        row = None if name is None else await self._search.repository(self._caller.visible, name)
        if row is None:
            return self._missing(name, _UNKNOWN_REPOSITORY)
        query = ImageQuery(repository=row.name, sort=ImageSort.UPDATED)
        _, images = await self._images(Slice(), selected, "Images", query, with_rights=True)
        summaries = await self._objects.repositories([row], selected.within("Summary"), searched=False, rank=0)
        return {"Images": images, "Summary": summaries[0]}

    async def _repositories(
        self, arguments: Arguments, selected: Selection, among: frozenset[Repository] | None
    ) -> object:
        sort = repository_sort(arguments, RepositorySort.PUSHED)
        query = RepositoryQuery(among=among, sort=sort)
        page, rows = await self._repository_rows(requested_slice(arguments), selected, "Results", query)
        return {"Page": page, "Results": rows}

    # --- images ---

    async def images(self, arguments: Arguments, selected: Selection) -> object:
        """ImageList: the tags of a repository, or of all."""
        text = arguments["repo"]
        query = ImageQuery(repository=repository_name(text), sort=image_sort(arguments, ImageSort.NAME))
        if text and query.repository is None:
            return {"Page": _NO_ROWS, "Results": ()}
        return await self._image_page(arguments, selected, query)

    async def images_with_digest(self, arguments: Arguments, selected: Selection) -> object:
        """ImageListForDigest: the images with a digest that contains a text, and of each the manifests that do."""
        query = ImageQuery(digest=arguments["id"].strip().lower(), sort=image_sort(arguments, ImageSort.NAME))
        return await self._image_page(arguments, selected, query)

    async def image(self, arguments: Arguments, selected: Selection) -> object:
        """Image: one image, by tag or digest."""
        wanted = image_reference(arguments["image"])
        row = await self._image(wanted)
        if row is None:
            return await self._missing_image(wanted, _UNKNOWN_REPOSITORY)
        return (await self._objects.images([row], selected))[0]

    async def base_images(self, arguments: Arguments, selected: Selection) -> object:
        """BaseImageList: the images on whose layers an image is built."""
        return await self._related(arguments, selected, self._search.base_images)

    async def derived_images(self, arguments: Arguments, selected: Selection) -> object:
        """DerivedImageList: the images built on the layers of an image."""
        return await self._related(arguments, selected, self._search.derived_images)

    async def _related(self, arguments: Arguments, selected: Selection, related: _Related) -> object:
        wanted = image_reference(arguments["image"])
        sort = image_sort(arguments, ImageSort.UPDATED)
        part = requested_slice(arguments)
        manifest = Digest(arguments["digest"]) if arguments.get("digest") else None
        row = await self._image(wanted)
        if row is None:
            missing = await self._missing_image(wanted, "repository not found")
            return {"Page": _NO_ROWS, "Results": ()} if missing is NOTHING else missing

        async def query(page: PageBounds) -> ImagePage:
            return await related(self._caller.visible, row, manifest=manifest, sort=sort, page=page)

        page, rows = await self._image_rows(part, selected, "Results", query)
        return {"Page": page, "Results": rows}

    async def referrers(self, arguments: Arguments, selected: Selection) -> object:
        """Referrers: the artifacts that refer to a manifest."""
        del selected
        name = repository_name(arguments["repo"])
        try:
            subject = parse_digest(arguments["digest"])
        except InvalidDigestError as error:
            raise FieldError(str(error)) from error
        if name is None or await self._search.repository(self._caller.visible, name) is None:
            missing = self._missing(name, _UNKNOWN_REPOSITORY)
            return () if missing is NOTHING else missing
        types = [each for each in arguments.get("type") or () if each]
        found = await self._search.referrers(self._caller.visible, name, [subject], types)
        return found.get(subject, ())

    # --- both ---

    async def search(self, arguments: Arguments, selected: Selection) -> object:
        """GlobalSearch: repositories by name, images by tag or digest."""
        wanted = search_text(arguments["query"])
        part = searched_slice(arguments)
        limits = image_filter(arguments)
        if isinstance(wanted, RepositoryText):
            sort = repository_sort(arguments, RepositorySort.RELEVANCE)
            query = RepositoryQuery(text=wanted.text, filter=limits, sort=sort)
            query = await self._with_marks(query, arguments.get("filter") or {})
            page, repositories = await self._repository_rows(part, selected, "Repos", query)
            return {"Page": page, "Repos": repositories, "Images": (), "Layers": ()}
        images_query = ImageQuery(filter=limits, sort=image_sort(arguments, ImageSort.NAME))
        if isinstance(wanted, DigestText):
            images_query = replace(images_query, digest=wanted.text)
        elif wanted.repository is None:
            images_query = replace(images_query, tag_contains=wanted.tag)
        else:
            name = repository_name(wanted.repository)
            if name is None:
                return {"Page": _NO_ROWS, "Repos": None, "Images": (), "Layers": ()}
            images_query = replace(images_query, repository=name, tag_prefix=wanted.tag)
        page, images = await self._images(part, selected, "Images", images_query)
        return {"Page": page, "Repos": None, "Images": images, "Layers": ()}

    async def vulnerabilities(self, arguments: Arguments, selected: Selection) -> NoReturn:
        """Refuse a query about vulnerabilities, as zot does without a scanner."""
        del arguments, selected
        raise FieldError("cve search is disabled")

    async def _with_marks(self, query: RepositoryQuery, given: Mapping[str, bool | None]) -> RepositoryQuery:
        """Return the query, limited to repositories with the caller's marks or without."""
        marks = await self._objects.marks()
        for name, marked in (("IsStarred", marks.starred), ("IsBookmarked", marks.bookmarked)):
            wanted = given.get(name)
            if wanted is True:
                query = replace(query, among=marked if query.among is None else query.among & marked)
            elif wanted is False:
                query = replace(query, without=marked if query.without is None else query.without | marked)
        return query

    # --- rows ---

    async def _repository_rows(
        self, part: Slice, selected: Selection, field: str, query: RepositoryQuery
    ) -> tuple[dict[str, int], Rows[RepositoryObject]]:
        if query.sort is RepositorySort.STARS:
            query = replace(query, stars=await self._objects.stars())
        within = selected.within(field)

        async def rows(page: PageBounds) -> RepositoryPage:
            return await self._search.repositories(self._caller.visible, replace(query, page=page))

        async def complete(found: Sequence[RepositorySummary]) -> Sequence[RepositoryObject]:
            return await self._objects.repositories(found, within, searched=bool(query.text))

        return await fetch(part, rows, complete, counts_only=not selected.wants(field))

    async def _image_page(self, arguments: Arguments, selected: Selection, query: ImageQuery) -> object:
        page, rows = await self._images(requested_slice(arguments), selected, "Results", query)
        return {"Page": page, "Results": rows}

    async def _images(
        self, part: Slice, selected: Selection, field: str, query: ImageQuery, *, with_rights: bool = False
    ) -> tuple[dict[str, int], Rows[ImageObject]]:
        async def rows(page: PageBounds) -> ImagePage:
            return await self._search.images(self._caller.visible, replace(query, page=page))

        return await self._image_rows(part, selected, field, rows, query.digest or "", with_rights=with_rights)

    async def _image_rows(
        self,
        part: Slice,
        selected: Selection,
        field: str,
        rows: Callable[[PageBounds], Awaitable[ImagePage]],
        digest: str = "",
        *,
        with_rights: bool = False,
    ) -> tuple[dict[str, int], Rows[ImageObject]]:
        within = selected.within(field)

        async def complete(found: Sequence[ImageSummary]) -> Sequence[ImageObject]:
            return await self._objects.images(found, within, digest=digest, with_rights=with_rights)

        return await fetch(part, rows, complete, counts_only=not selected.wants(field))

    async def _image(self, wanted: ImageReference) -> ImageSummary | None:
        if wanted.repository is None or wanted.reference is None:
            return None
        return await self._search.image(self._caller.visible, wanted.repository, wanted.reference)

    # --- what is not there ---

    async def _missing_image(self, wanted: ImageReference, unknown_repository: str) -> object:
        name = wanted.repository
        known = name is not None and await self._search.repository(self._caller.visible, name) is not None
        return self._missing(name, f"can't find image: {wanted.text}" if known else unknown_repository)

    def _missing(self, name: Repository | None, message: str) -> object:
        """Return an object of nulls where the caller may not read, there or not. Raises FieldError where it may."""
        if name is not None and not self._policy.readable(self._caller.principal, name, self._caller.context):
            return NOTHING
        raise FieldError(message)


RESOLVERS: Mapping[str, Callable[[Queries, Arguments, Selection], Awaitable[object]]] = {
    "CVEListForImage": Queries.vulnerabilities,
    "CVEDiffListForImages": Queries.vulnerabilities,
    "ImageListForCVE": Queries.vulnerabilities,
    "ImageListWithCVEFixed": Queries.vulnerabilities,
    "ImageListForDigest": Queries.images_with_digest,
    "RepoListWithNewestImage": Queries.repositories,
    "ImageList": Queries.images,
    "ExpandedRepoInfo": Queries.expanded,
    "GlobalSearch": Queries.search,
    "DerivedImageList": Queries.derived_images,
    "BaseImageList": Queries.base_images,
    "Image": Queries.image,
    "Referrers": Queries.referrers,
    "StarredRepos": Queries.starred,
    "BookmarkedRepos": Queries.bookmarked,
}
"""Query -> what resolves it."""
