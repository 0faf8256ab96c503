"""What the registry asks of layouts (`zot.registry.unimported.Layouts`), in each process that serves requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from zot.catalog.interface import Catalog
from zot.catalog.rows import CarriedEntry
from zot.layout.arrivals import Arrivals
from zot.layout.external_edits import ForeignEdits
from zot.layout.first_reads import FirstReads
from zot.layout.importer import LayoutImporter
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES
from zot.layout.read_through import read_through
from zot.layout.unimported_names import UnimportedNames
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository
from zot.registry.damage import DamageReports, FoundBy
from zot.registry.manifest_bytes import read_manifest
from zot.registry.unimported import Unserved
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
        *,
        manifest_limit_bytes: int = MANIFEST_LIMIT_BYTES,
    ) -> None:
        """Look at one store; `edits` merges what other programs wrote, and what is damaged there is reported.

        Manifests of at most `manifest_limit_bytes` are read.
        """
        self._catalog = catalog
        self._storage = storage
        self.damage = damage or DamageReports()
        self.files = files
        self.manifest_limit_bytes = manifest_limit_bytes
        self.edits = edits
        self.first_reads = FirstReads(catalog, files, edits)
        self.adoption = LayoutImporter(catalog, storage, files, self.damage, manifest_limit_bytes=manifest_limit_bytes)
        self.arrivals = Arrivals(catalog, storage, files, manifest_limit_bytes)
        self.foreign_names = UnimportedNames(catalog, files)

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

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what lies where a new repository of that name would have its files, None if nothing does."""
        return await self.files.obstacle(repository)

    def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that cannot be served, because of their names or where they lie."""
        return self.files.unserved()

    async def read(self, repository: Repository, reference: Reference) -> tuple[Digest, str, bytes] | None:
        """Return digest, media type and content of a manifest, and have its repository adopted meanwhile.

        One that `index.json` does not list (the child of an index) is known only when that is done.
        """
        if not await self.exists(repository):
            return None
        manifest = await read_through(self.files, repository, reference, self.manifest_limit_bytes)
        if manifest is not None:
            self.adoption.begin(repository)
            return manifest.digest, manifest.media_type, manifest.content
        await self.adoption.ensure(repository)
        row = await self._catalog.resolve(repository, reference)
        if row is None:
            return None
        found = await read_manifest(self._catalog, self._storage, self.damage, repository, row.digest, FoundBy.PULL)
        return (row.digest, row.media_type, found.content) if found.content is not None else None

    async def read_carried(self, repository: Repository, entry: CarriedEntry) -> None:
        """Import the manifest of a carried entry, if it can be read by now."""
        await self.arrivals.ensure(repository, entry)

    async def read_children(self, repository: Repository) -> None:
        """Import manifests that an index lists and whose files have come since."""
        await self.arrivals.read_children(repository)

    async def names(self, after: str, limit: int) -> Sequence[Repository]:
        """Return names greater than `after` of layouts that the catalog does not list yet, in byte order."""
        return await self.foreign_names.page(after, limit)

    async def close(self) -> None:
        """Break off what is under way."""
        await self.first_reads.close()
        await self.foreign_names.close()
        await self.arrivals.close()
        await self.adoption.close()
