"""What the registry needs of the layouts that others wrote below its roots."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from zot.catalog.rows import CarriedEntry
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository


class Unserved(NamedTuple):
    """A layout below a root that no repository is."""

    path: str
    why: str


class UnimportedRepositories(Protocol):
    """The door to repositories that the catalog does not know yet."""

    async def ensure_imported(self, repository: Repository) -> None:
        """Return once all of the repository's layout is in the catalog; a repository that is nowhere is created.

        Whoever writes, lists or deletes in a repository calls it first. Raises Unavailable when it takes longer than
        a request should wait; adoption goes on meanwhile.
        """

    def comparison_due(self, repository: Repository) -> bool:
        """Tell whether this process has still to compare a known repository with its layout. Touches no disk."""

    async def compare(self, repository: Repository) -> None:
        """Return once the catalog has what another program wrote into a known repository before the start.

        Raises Unavailable when it takes longer than a request should wait; it goes on meanwhile.
        """

    async def exists(self, repository: Repository) -> bool:
        """Tell whether there is a layout of that name which the catalog does not know yet."""

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what lies where a new repository of that name would have its files, None if nothing does."""

    def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that cannot be served, because of their names or where they lie."""

    async def read(self, repository: Repository, reference: Reference) -> tuple[Digest, str, bytes] | None:
        """Return digest, media type and content of a manifest, straight from a layout that is not adopted yet."""

    async def read_carried(self, repository: Repository, entry: CarriedEntry) -> None:
        """Import the manifest of a carried entry of a repository, if it can be read by now.

        Raises Unavailable when it takes longer than a request should wait; StorageError, CatalogError.
        """

    async def read_children(self, repository: Repository) -> None:
        """Import manifests that an index of the repository lists and whose files have come since it was imported.

        Raises StorageError, CatalogError.
        """

    async def names(self, after: str, limit: int) -> Sequence[Repository]:
        """Return names greater than `after` of layouts not adopted yet, in byte order.

        Raises Unavailable while it is not known yet which there are: a list is late rather than short.
        """


class NothingUnimported:
    """Nobody else writes here: storage without layouts, or an empty one."""

    async def ensure_imported(self, repository: Repository) -> None:
        """Have nothing to do."""

    def comparison_due(self, repository: Repository) -> bool:  # noqa: ARG002
        """Nothing is to be compared."""
        return False

    async def compare(self, repository: Repository) -> None:
        """Have nothing to do."""

    async def exists(self, repository: Repository) -> bool:  # noqa: ARG002
        """There is none."""
        return False

    async def obstacle(self, repository: Repository) -> str | None:  # noqa: ARG002
        """There is none."""
        return None

    async def unserved(self) -> AsyncIterator[Unserved]:
        """There are none."""
        none: tuple[Unserved, ...] = ()
        for each in none:
            yield each

    async def read(self, repository: Repository, reference: Reference) -> tuple[Digest, str, bytes] | None:  # noqa: ARG002
        """Find nothing."""
        return None

    async def read_carried(self, repository: Repository, entry: CarriedEntry) -> None:
        """Have nothing to do."""

    async def read_children(self, repository: Repository) -> None:
        """Have nothing to do."""

    async def names(self, after: str, limit: int) -> Sequence[Repository]:  # noqa: ARG002
        """Know of none."""
        return ()
