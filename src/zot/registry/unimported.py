"""The port to layouts below the registry's roots that the catalog does not know yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from zot.catalog.command import ChangeSource
from zot.catalog.rows import CarriedEntry
from zot.oci.names import Reference, Repository
from zot.registry.sources import Source, SourcedManifest


class Unserved(NamedTuple):
    """A layout below a root that cannot be served as a repository."""

    path: str
    why: str


class UnimportedRepositories(Source, Protocol):
    """Layouts that the catalog does not know yet: the first source, and all that is peculiar to layouts."""

    async def ensure_imported(
        self, repository: Repository, by: str = "", source: ChangeSource = ChangeSource.CLIENT
    ) -> None:
        """Return once all of the repository's layout is in the catalog; a repository that is nowhere is created.

        `by` and `source` are those of the change that creates it. Use cases that write, list or delete in a repository
        call it first. Raises Unavailable when it takes longer than a request should wait; the import continues in the
        background.
        """

    def comparison_due(self, repository: Repository) -> bool:
        """Tell whether this process has still to compare a known repository with its layout. Touches no disk."""

    async def compare(self, repository: Repository) -> None:
        """Return once the catalog has what another program wrote into a known repository before the start.

        Raises Unavailable when it takes longer than a request should wait; it continues in the background.
        """

    async def exists(self, repository: Repository) -> bool:
        """Tell whether there is a layout of that name which the catalog does not know yet."""

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what lies where a new repository of that name would have its files; None if nothing, or its layout."""

    def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that cannot be served, because of their names or where they lie."""

    async def manifest(self, repository: Repository, reference: Reference) -> SourcedManifest | None:
        """Return a manifest, straight from a layout that is not imported yet. The import stores it."""

    async def read_carried(self, repository: Repository, entry: CarriedEntry) -> None:
        """Import the manifest of a carried entry of a repository, if it can be read by now.

        Raises Unavailable when it takes longer than a request should wait; StorageError, CatalogError.
        """

    async def read_children(self, repository: Repository) -> None:
        """Import manifests that an index of the repository lists and whose files have come since it was imported.

        Raises StorageError, CatalogError.
        """


class NothingUnimported:
    """No other program writes here: storage without layouts, or an empty one."""

    async def ensure_imported(
        self, repository: Repository, by: str = "", source: ChangeSource = ChangeSource.CLIENT
    ) -> None:
        """Do nothing."""

    def comparison_due(self, repository: Repository) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    async def compare(self, repository: Repository) -> None:
        """Do nothing."""

    async def exists(self, repository: Repository) -> bool:  # noqa: ARG002
        """Return that there is none."""
        return False

    async def obstacle(self, repository: Repository) -> str | None:  # noqa: ARG002
        """Return that there is none."""
        return None

    async def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over nothing."""
        none: tuple[Unserved, ...] = ()
        for each in none:
            yield each

    async def manifest(self, repository: Repository, reference: Reference) -> SourcedManifest | None:  # noqa: ARG002
        """Return None."""
        return None

    async def read_carried(self, repository: Repository, entry: CarriedEntry) -> None:
        """Do nothing."""

    async def read_children(self, repository: Repository) -> None:
        """Do nothing."""

    async def names(self, after: str, limit: int) -> Sequence[Repository]:  # noqa: ARG002
        """Return no names."""
        return ()
