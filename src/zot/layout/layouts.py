"""What the registry asks of layouts (`zot.registry.layouts.Layouts`), in each process that serves requests."""

from __future__ import annotations

from collections.abc import Sequence

from zot.catalog.interface import Catalog
from zot.layout.adopt import Adoption
from zot.layout.first_reads import FirstReads
from zot.layout.foreign import ForeignEdits
from zot.layout.interface import LayoutFiles
from zot.layout.names import ForeignNames
from zot.layout.read_through import read_through
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository
from zot.registry.damage import DamageReports, FoundBy
from zot.registry.manifest_bytes import read_manifest
from zot.storage.interface import Storage


class StoreLayouts:
    """The door to repositories that the catalog does not know yet; its laws are stated in the protocol."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        files: LayoutFiles,
        edits: ForeignEdits,
        damage: DamageReports | None = None,
    ) -> None:
        """Look at one store; `edits` merges what other programs wrote, and what is damaged there is reported."""
        self._catalog = catalog
        self._storage = storage
        self._damage = damage or DamageReports()
        self.files = files
        self.edits = edits
        self.first_reads = FirstReads(catalog, files, edits)
        self.adoption = Adoption(catalog, storage, files, self._damage)
        self.foreign_names = ForeignNames(catalog, files)

    async def ensure_adopted(self, repository: Repository) -> None:
        """Return once all of the repository's layout is in the catalog; a repository that is nowhere is created."""
        await self.adoption.ensure(repository)

    def comparison_due(self, repository: Repository) -> bool:
        """Tell whether this process has still to compare a known repository with its layout. Touches no disk."""
        return self.first_reads.is_due(repository)

    async def compare(self, repository: Repository) -> None:
        """Return once the catalog has what another program wrote into the repository before the start."""
        await self.first_reads.compare(repository)

    async def exists(self, repository: Repository) -> bool:
        """Tell whether there is a layout of that name."""
        return bool(await self.files.existing([repository]))

    async def read(self, repository: Repository, reference: Reference) -> tuple[Digest, str, bytes] | None:
        """Return digest, media type and content of a manifest, and have its repository adopted meanwhile.

        One that `index.json` does not list (the child of an index) is known only when that is done.
        """
        if not await self.exists(repository):
            return None
        manifest = await read_through(self.files, repository, reference)
        if manifest is not None:
            self.adoption.begin(repository)
            return manifest.digest, manifest.media_type, manifest.content
        await self.adoption.ensure(repository)
        row = await self._catalog.resolve(repository, reference)
        if row is None:
            return None
        found = await read_manifest(self._catalog, self._storage, self._damage, repository, row.digest, FoundBy.PULL)
        return (row.digest, row.media_type, found.content) if found.content is not None else None

    async def names(self, after: str, limit: int) -> Sequence[Repository]:
        """Return names greater than `after` of layouts that the catalog does not list yet, in byte order."""
        return await self.foreign_names.page(after, limit)

    async def close(self) -> None:
        """Break off what is under way."""
        await self.first_reads.close()
        await self.foreign_names.close()
        await self.adoption.close()
