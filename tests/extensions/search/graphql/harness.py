"""An index of a few rows, and what asks it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec

from zot.extensions.search.graphql.execution import execute
from zot.extensions.search.graphql.objects import Caller, Sources
from zot.extensions.search.graphql.planning import GraphQLRequest, Planner
from zot.extensions.search.graphql.queries import Queries
from zot.extensions.search.interface import (
    Description,
    History,
    ImageKind,
    ImagePage,
    ImageQuery,
    ImageSummary,
    Layer,
    ManifestSummary,
    PageBounds,
    Platform,
    Referrer,
    RepositoryPage,
    RepositoryQuery,
    RepositorySummary,
    Signature,
    SignatureTool,
    Visible,
)
from zot.foundation.threads import ThreadPool
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Reference, Repository, Tag

T = TypeVar("T")

IMAGE = "application/vnd.oci.image.manifest.v1+json"
ALL = PageBounds(1000)
BUILT_NS = 1_767_258_000_000_000_000


def manifest(number: int, platform: Platform) -> ManifestSummary:
    """Return a manifest of two layers, one of them made by a command that the config tells of."""
    digest = digest_of(f"{number}{platform}".encode())
    return ManifestSummary(
        digest,
        IMAGE,
        1000 + number,
        config_digest=digest_of(b"config"),
        artifact_type="application/vnd.oci.image.config.v1+json",
        platform=platform,
        created_ns=BUILT_NS + number,
        layers=(Layer(digest_of(b"base"), 7), Layer(digest, 8)),
        history=(History(BUILT_NS, "ADD rootfs"), History(None, "CMD", empty_layer=True), History(BUILT_NS, "RUN")),
        signatures=(Signature(SignatureTool.COSIGN, digest_of(b"signature")),) if number % 2 else (),
    )


def image(repository: str, tag: str, number: int) -> ImageSummary:
    """Return an image of two platforms."""
    manifests = (manifest(number, Platform("linux", "amd64")), manifest(number, Platform("linux", "arm64", "v8")))
    return ImageSummary(
        Repository(repository),
        Tag(tag),
        digest_of(f"{repository}{tag}".encode()),
        "application/vnd.oci.image.index.v1+json",
        "",
        ImageKind.IMAGE,
        2000,
        BUILT_NS + number,
        BUILT_NS + 1,
        "ada",
        BUILT_NS + 2,
        BUILT_NS + 3,
        manifests,
        Description(title="A title", vendor="A vendor"),
        {},
        (),
        pulls=number,
        pulled_s=1.5 if number else None,
    )


@dataclass
class Rows:
    """`Search` of rows in memory."""

    repositories_rows: list[RepositorySummary] = field(default_factory=list)
    images_rows: list[ImageSummary] = field(default_factory=list)
    queries: list[RepositoryQuery | ImageQuery] = field(default_factory=list)
    """What was asked, in order."""

    def add(self, name: str, *tags: str) -> None:
        """Add a repository with its tags."""
        images = [image(name, tag, number) for number, tag in enumerate(tags)]
        self.images_rows += images
        platforms = (Platform("linux", "amd64"), Platform("linux", "arm64", "v8"))
        number = len(self.repositories_rows)
        self.repositories_rows.append(
            RepositorySummary(
                Repository(name),
                len(tags),
                5000,
                BUILT_NS,
                BUILT_NS + number,
                platforms,
                ("A vendor",),
                images[-1],
                number,
            )
        )

    async def caught_up(self) -> bool:
        """See `Search`."""
        return True

    async def names(self) -> frozenset[Repository]:
        """See `Search`."""
        return frozenset(row.name for row in self.repositories_rows)

    async def repositories(self, visible: Visible, query: RepositoryQuery) -> RepositoryPage:
        """See `Search`: by name, whatever the order is to be."""
        self.queries.append(query)
        rows = [
            msgspec.structs.replace(row, stars=query.stars.get(row.name, 0))
            for row in self.repositories_rows
            if (visible is None or row.name in visible)
            and query.text in row.name
            and (query.among is None or row.name in query.among)
            and row.name not in (query.without or ())
        ]
        return RepositoryPage(len(rows), tuple(_page(rows, query.page)))

    async def repository(self, visible: Visible, repository: Repository) -> RepositorySummary | None:
        """See `Search`."""
        page = await self.repositories(visible, RepositoryQuery(among=frozenset([repository])))
        return next(iter(page.rows), None)

    async def images(self, visible: Visible, query: ImageQuery) -> ImagePage:
        """See `Search`: in the order of their addition."""
        self.queries.append(query)
        rows = [
            row
            for row in self.images_rows
            if (visible is None or row.repository in visible) and query.repository in (None, row.repository)
        ]
        return ImagePage(len(rows), tuple(_page(rows, query.page)))

    async def image(self, visible: Visible, repository: Repository, reference: Reference) -> ImageSummary | None:
        """See `Search`."""
        page = await self.images(visible, ImageQuery(repository=repository, page=PageBounds(limit=1000)))
        return next((row for row in page.rows if reference in (row.tag, row.digest)), None)

    async def base_images(
        self,
        visible: Visible,
        image: ImageSummary,
        *,
        page: PageBounds = PageBounds(),  # noqa: B008 (it is frozen)
        **_: object,
    ) -> ImagePage:
        """See `Search`: the images with the same tag are related."""
        found = await self.images(visible, ImageQuery(page=ALL))
        rows = [each for each in found.rows if each.tag == image.tag and each.digest != image.digest]
        return ImagePage(len(rows), tuple(_page(rows, page)))

    derived_images = base_images

    async def referrers(
        self,
        visible: Visible,  # noqa: ARG002
        repository: Repository,  # noqa: ARG002
        subjects: Sequence[Digest],
        artifact_types: Sequence[str] = (),  # noqa: ARG002
    ) -> dict[Digest, tuple[Referrer, ...]]:
        """See `Search`: one for each subject."""
        referrer = Referrer(digest_of(b"sbom"), IMAGE, "application/spdx+json", 500, {"made.by": "a test"})
        return dict.fromkeys(subjects, (referrer,))


class Answer(NamedTuple):
    """The response to a query."""

    data: Any
    errors: list[dict[str, Any]]


class Asker:
    """Executes queries of one caller."""

    def __init__(self, sources: Sources, caller: Caller, pool: ThreadPool) -> None:
        self.sources = sources
        self.caller = caller
        self._pool = pool
        self._planner = Planner(pool)

    async def ask(self, text: str, variables: dict[str, Any] | None = None, operation: str = "") -> Answer:
        """Return the response. Raises GraphQLRequestError."""
        body = b"".join([piece async for piece in self.pieces(text, variables, operation)])
        response = json.loads(body)
        return Answer(response["data"], response.get("errors", []))

    async def pieces(
        self, text: str, variables: dict[str, Any] | None = None, operation: str = ""
    ) -> AsyncIterator[bytes]:
        """Iterate over the body of the response."""
        plan = await self._planner.plan(GraphQLRequest(text, variables or {}, operation))
        async for piece in execute(plan, Queries(self.sources, self.caller), self._pool):
            yield piece


def _page(rows: list[T], page: PageBounds) -> list[T]:
    return rows[page.offset : page.offset + page.limit]
