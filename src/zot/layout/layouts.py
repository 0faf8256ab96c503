"""The layouts as the registry sees them, in each process that serves requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.catalog.rows import CarriedEntry
from zot.foundation.shared_marks import SharedMarks
from zot.layout.arrivals import Arrivals
from zot.layout.external_edits import ExternalEdits
from zot.layout.first_reads import FirstReads
from zot.layout.importer import LayoutImporter
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES
from zot.layout.read_through import read_through
from zot.layout.unimported_names import UnimportedNames
from zot.oci.names import Reference, Repository
from zot.registry.damage import DamageReports, FoundBy
from zot.registry.manifest_bytes import read_manifest
from zot.registry.sources import SourcedManifest
from zot.registry.unimported import Unserved
from zot.storage.interface import Storage


class StoreLayouts:
    """Repositories that the catalog does not know yet (`UnimportedRepositories`)."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        files: LayoutFiles,
        edits: ExternalEdits,
        damage: DamageReports | None = None,
        *,
        manifest_limit_bytes: int = MANIFEST_LIMIT_BYTES,
        compared: SharedMarks | None = None,
    ) -> None:
        """Serve one store. `edits` merges what other programs wrote; `damage` takes reports of damaged content.

        Manifests of at most `manifest_limit_bytes` are read. `compared` has the repositories that were compared with
        their layouts since the start of the server, by any of its processes.
        """
        self._catalog = catalog
        self._storage = storage
        self.damage = damage or DamageReports()
        self.files = files
        self.manifest_limit_bytes = manifest_limit_bytes
        self.edits = edits
        self.first_reads = FirstReads(catalog, files, edits, compared)
        self.importer = LayoutImporter(
            catalog,
            storage,
            files,
            self.damage,
            manifest_limit_bytes=manifest_limit_bytes,
            in_sync=self.first_reads.note,
        )
        self.arrivals = Arrivals(catalog, storage, files, manifest_limit_bytes)
        self.unimported_names = UnimportedNames(catalog, files)

    async def ensure_imported(
        self, repository: Repository, by: str = "", source: ChangeSource = ChangeSource.CLIENT
    ) -> None:
        """Return once the repository's layout is imported; a repository that does not exist is created."""
        await self.importer.ensure(repository, by, source)

    def comparison_due(self, repository: Repository) -> bool:
        """Return whether a known repository was not compared with its layout yet. Does not access the disk."""
        return self.first_reads.is_due(repository)

    async def compare(self, repository: Repository) -> None:
        """Return once the catalog has what another program wrote into the repository before the start."""
        await self.first_reads.compare(repository)

    async def exists(self, repository: Repository) -> bool:
        """Return whether there is a layout of that name."""
        return bool(await self.files.existing([repository]))

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what occupies the path of a file of a new repository of that name, or None; None for a layout."""
        return await self.files.obstacle(repository)

    def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that cannot be served because of their names or places, with the reasons."""
        return self.files.unserved()

    async def manifest(self, repository: Repository, reference: Reference) -> SourcedManifest | None:
        """Return a manifest that the catalog does not have, and start to import its repository.

        One that `index.json` does not list (the child of an index) is known only after the import.
        """
        if not await self.exists(repository):
            return None
        manifest = await read_through(self.files, repository, reference, self.manifest_limit_bytes)
        if manifest is not None:
            self.importer.start(repository)
            return SourcedManifest(manifest.digest, manifest.media_type, manifest.content)
        await self.importer.ensure(repository)
        row = await self._catalog.resolve(repository, reference)
        if row is None:
            return None
        found = await read_manifest(self._catalog, self._storage, self.damage, repository, row.digest, FoundBy.PULL)
        return SourcedManifest(row.digest, row.media_type, found.content) if found.content is not None else None

    async def read_carried(self, repository: Repository, entry: CarriedEntry) -> None:
        """Import the manifest of a carried entry, if it is readable now."""
        await self.arrivals.ensure(repository, entry)

    async def read_children(self, repository: Repository) -> None:
        """Import manifests that an index lists and whose files were added since."""
        await self.arrivals.read_children(repository)

    async def names(self, after: str, limit: int) -> Sequence[Repository]:
        """Return the names greater than `after` of layouts that the catalog does not list yet, in byte order."""
        return await self.unimported_names.page(after, limit)

    async def close(self) -> None:
        """Cancel the running imports and comparisons."""
        await self.first_reads.close()
        await self.unimported_names.close()
        await self.arrivals.close()
        await self.importer.close()
        await self.files.close()
