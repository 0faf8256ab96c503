"""What rows of the index lack: stars and bookmarks, rights of the caller, referrers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zot.accounts.interface import Accounts
from zot.auth.decision import Policy, RequestContext
from zot.auth.principal import Principal
from zot.extensions.search.graphql.readers import NO_REFERRERS, ImageObject, Referrers, RepositoryObject
from zot.extensions.search.graphql.selection import Selection
from zot.extensions.search.interface import (
    ImageSummary,
    ManifestSummary,
    RepositorySummary,
    Search,
    Visible,
)
from zot.extensions.search.interface import Referrer as ReferrerRow
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.registry.request import DeleteManifest


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers come from."""

    search: Search
    policy: Policy
    accounts: Accounts | None
    """Stars and bookmarks; None if there are no users."""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a request: who it is, how it came, and what it may read."""

    principal: Principal
    context: RequestContext
    visible: Visible


class UserMarks(NamedTuple):
    """The repositories that a user has starred and bookmarked."""

    starred: frozenset[Repository] = frozenset()
    bookmarked: frozenset[Repository] = frozenset()


class Objects:
    """Makes the schema's objects of rows, for one request."""

    def __init__(self, sources: Sources, caller: Caller) -> None:
        self._sources = sources
        self._caller = caller
        self._marks: UserMarks | None = None
        self._stars: Mapping[Repository, int] | None = None

    async def marks(self) -> UserMarks:
        """Return what the caller has starred and bookmarked: nothing, if it is anonymous."""
        accounts, name = self._sources.accounts, self._caller.principal.name
        if self._marks is None:
            if accounts is None or not self._caller.principal.authenticated:
                self._marks = UserMarks()
            else:
                self._marks = UserMarks(
                    frozenset(await accounts.starred(name)), frozenset(await accounts.bookmarked(name))
                )
        return self._marks

    async def stars(self) -> Mapping[Repository, int]:
        """Return how many users have starred each repository; one without stars is left out."""
        if self._stars is None:
            accounts = self._sources.accounts
            self._stars = {} if accounts is None else await accounts.star_counts()
        return self._stars

    async def repositories(
        self, rows: Sequence[RepositorySummary], selected: Selection, *, searched: bool, rank: int = 1
    ) -> list[RepositoryObject]:
        """Return repositories; `rank` is that of each, unless a text was `searched` for."""
        marks = await self.marks()
        stars = await self.stars() if selected.wants("StarCount") else {}
        newest = await self.images([row.newest for row in rows if row.newest], selected.within("NewestImage"))
        images = iter(newest)
        return [
            RepositoryObject(
                row,
                next(images) if row.newest else None,
                stars.get(row.name, 0),
                row.name in marks.starred,
                row.name in marks.bookmarked,
                row.rank if searched else rank,
            )
            for row in rows
        ]

    async def images(
        self, rows: Sequence[ImageSummary], selected: Selection, *, digest: str = "", with_rights: bool = False
    ) -> list[ImageObject]:
        """Return images, each with the manifests in which the text `digest` is found.

        `with_rights` tells whether the caller may delete them.
        """
        referrers = await self._referrers(rows, selected)
        deletable = self._deletable(rows) if with_rights and selected.wants("IsDeletable") else {}
        return [
            ImageObject(
                row,
                _with_digest(row, digest),
                referrers.get(row.repository, NO_REFERRERS),
                deletable.get((row.repository, row.tag)),
            )
            for row in rows
        ]

    async def _referrers(self, rows: Sequence[ImageSummary], selected: Selection) -> dict[Repository, Referrers]:
        of_images, of_manifests = selected.wants("Referrers"), selected.within("Manifests").wants("Referrers")
        subjects: dict[Repository, dict[Digest, None]] = {}
        for row in rows if of_images or of_manifests else ():
            named = subjects.setdefault(row.repository, {})
            if of_images:
                named[row.digest] = None
            if of_manifests:
                named.update((each.digest, None) for each in row.manifests)
        found: dict[Repository, dict[Digest, tuple[ReferrerRow, ...]]] = {}
        for repository, named in subjects.items():
            found[repository] = await self._sources.search.referrers(self._caller.visible, repository, list(named))
        return dict(found)

    def _deletable(self, rows: Sequence[ImageSummary]) -> dict[tuple[Repository, Tag | None], bool]:
        """Tell which tags of one repository the caller may delete."""
        policy, caller = self._sources.policy, self._caller
        decided: dict[Repository, bool] = {}
        deletable: dict[tuple[Repository, Tag | None], bool] = {}
        for row in rows:
            repository, tag = row.repository, row.tag
            if tag is None:
                continue
            may = decided.get(repository)
            if may is None:
                request = DeleteManifest(repository=repository, reference=tag)
                may = policy.decide(caller.principal, request, caller.context).allowed
                if not policy.conditional:  # then the right is the same for every tag
                    decided[repository] = may
            immutable = may and policy.immutable(caller.principal, repository, tag)
            deletable[repository, tag] = may and not immutable and not self._sources.read_only
        return deletable


def _with_digest(row: ImageSummary, digest: str) -> Sequence[ManifestSummary]:
    """Return the manifests that have a digest with the text, or all if the index itself has it."""
    if not digest or digest in row.digest:
        return row.manifests
    return [each for each in row.manifests if _has_digest(each, digest)]


def _has_digest(row: ManifestSummary, digest: str) -> bool:
    return (
        digest in row.digest or digest in (row.config_digest or "") or any(digest in each.digest for each in row.layers)
    )
