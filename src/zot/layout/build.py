"""Build the layouts from the configuration: the part of every process, and the jobs of the jobs process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zot.catalog.interface import Catalog
from zot.config.storage import StorageConfig as Configuration
from zot.config.store_table import StoreTable
from zot.foundation.shared_marks import SharedMarks
from zot.layout.export import Exporter
from zot.layout.external_edits import ExternalEdits
from zot.layout.filesystem import FilesystemLayouts
from zot.layout.interface import LayoutFiles
from zot.layout.layouts import StoreLayouts
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES
from zot.layout.object_store.layouts import ObjectStoreLayouts
from zot.layout.per_store import PerStoreLayouts
from zot.layout.reconcile import Reconciler
from zot.layout.scanner import LayoutScanner
from zot.layout.schedule import ExportSchedule
from zot.oci.names import Repository
from zot.registry.damage import DamageReports
from zot.storage.build import OpenObjectStore
from zot.storage.interface import Storage
from zot.storage.synced_directories import SyncedDirectories
from zot.storage.threads import ThreadPools


def build(
    config: Configuration,
    catalog: Catalog,
    storage: Storage,
    pools: ThreadPools,
    damage: DamageReports | None = None,
    *,
    synced: SyncedDirectories | None = None,
    objects: Mapping[str, OpenObjectStore] = {},
    compared: SharedMarks | None = None,
    catalog_is_older_than_ns: int = 0,
    manifest_limit_bytes: int = MANIFEST_LIMIT_BYTES,
) -> StoreLayouts:
    """Return what the registry asks about layouts. To be closed before the catalog and the storage.

    `catalog_is_older_than_ns` is the time of this start if the catalog is older than its store, otherwise 0.
    `manifest_limit_bytes` is the limit of pushes; a limit below the default does not hold for what is stored. The
    processes of a server share `synced` and `compared`. `objects` has the open object stores, by their roots.
    """
    files = _files(StoreTable(config), storage, pools, synced, objects, checks_first=not config.fast_restart)
    limit_bytes = max(manifest_limit_bytes, MANIFEST_LIMIT_BYTES)
    reconciler = Reconciler(
        catalog,
        storage,
        files,
        catalog_is_older_than_ns=catalog_is_older_than_ns,
        manifest_limit_bytes=limit_bytes,
    )
    edits = ExternalEdits(catalog, files, reconciler)
    return StoreLayouts(catalog, storage, files, edits, damage, manifest_limit_bytes=limit_bytes, compared=compared)


def _files(
    stores: StoreTable,
    storage: Storage,
    pools: ThreadPools,
    synced: SyncedDirectories | None,
    objects: Mapping[str, OpenObjectStore],
    *,
    checks_first: bool,
) -> LayoutFiles:
    """Return the layouts of all stores: one driver for all directories, and one for each object store."""
    in_directories = FilesystemLayouts(stores.roots, stores.root_of, storage.ready, pools, synced=synced)
    if not objects:
        return in_directories

    def having(root: str) -> Callable[[Repository], bool]:
        return lambda repository: stores.root_of(repository) == root

    in_objects: dict[str, LayoutFiles] = {
        root: ObjectStoreLayouts(
            each.objects, storage.ready, pools, each.locks, has=having(root), checks_first=checks_first
        )
        for root, each in objects.items()
    }
    every = [*([in_directories] if stores.roots else []), *in_objects.values()]
    if len(every) == 1:
        return every[0]
    return PerStoreLayouts(every, lambda repository: in_objects.get(stores.root_of(repository), in_directories))


@dataclass(frozen=True, slots=True)
class LayoutJobs:
    """The jobs that keep layouts and catalog in sync. One instance runs in a store's jobs process."""

    exporter: Exporter
    schedule: ExportSchedule
    scanner: LayoutScanner

    async def drain(self, limit_s: float) -> bool:
        """Export all layouts that are due, after all writers have ended; return False if some are left."""
        return await self.schedule.drain(limit_s)


def build_jobs(catalog: Catalog, storage: Storage, layouts: StoreLayouts) -> LayoutJobs:
    """Return the jobs of this process on the layouts."""
    exporter = Exporter(catalog, storage, layouts.files, layouts.edits, layouts.damage)
    return LayoutJobs(
        exporter,
        ExportSchedule(catalog, layouts.files, exporter),
        LayoutScanner(catalog, layouts.files, layouts.importer, layouts.unimported_names, exporter, layouts.arrivals),
    )
