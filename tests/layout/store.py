"""A store as the product puts it together, with the catalog in memory; mostly on a directory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from layout.images import Image, Layout
from zot.catalog.edges import edges
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import ImportLayout, LayoutBlob
from zot.catalog.manifest_commands import DeleteTag, PutManifest, RemoveManifest, Stored, TagMove
from zot.catalog.memory.driver import MemoryCatalog
from zot.config.storage import StorageConfig
from zot.layout.export import Exporter
from zot.layout.external_edits import ExternalEdits
from zot.layout.filesystem import FilesystemLayouts
from zot.layout.importer import LayoutImporter
from zot.layout.interface import LayoutFiles
from zot.layout.layouts import StoreLayouts
from zot.layout.reconcile import Reconciler
from zot.layout.scanner import LayoutScanner
from zot.layout.schedule import ExportSchedule
from zot.maintenance.clock import CollectorClock
from zot.maintenance.gc import CollectedLayouts, Collector
from zot.maintenance.observer import NoObserver
from zot.maintenance.stores import MaintainedStores
from zot.oci.digest import Digest
from zot.oci.manifest import parse_manifest
from zot.oci.names import Repository, parse_name, parse_repository, parse_tag
from zot.registry.registry import Registry
from zot.storage.disk import Disk
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import Storage
from zot.storage.threads import ThreadPools

APP = parse_repository("team/app")


async def eventually(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait for a condition that background work fulfils."""
    for _ in range(20_000):
        if await holds():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it never held")


Files = TypeVar("Files", bound=LayoutFiles)


class LayoutStore(Generic[Files]):
    """One process of a server on layouts of any driver."""

    def __init__(self, catalog: Catalog | None, storage: Storage, files: Files, wait_s: float = 5.0) -> None:
        """Begin with an empty catalog, unless one is given."""
        self.catalog = catalog or MemoryCatalog()
        self.storage = storage
        self.files = files
        reconciler = Reconciler(self.catalog, self.storage, self.files)
        edits = ExternalEdits(self.catalog, self.files, reconciler, retry_s=0)
        self.layouts = StoreLayouts(self.catalog, self.storage, self.files, edits)
        self.layouts.importer = self.importer = LayoutImporter(self.catalog, self.storage, self.files, wait_s=wait_s)
        self.exporter = Exporter(self.catalog, self.storage, self.files, edits)
        self.schedule = ExportSchedule(self.catalog, self.files, self.exporter, poll_s=0, quiet_s=0)
        self.scanner = LayoutScanner(
            self.catalog,
            self.files,
            self.importer,
            self.layouts.unimported_names,
            self.exporter,
            self.layouts.arrivals,
            looks_per_s=1e6,
        )

    async def push(self, image: Image, *tags: str, repository: Repository = APP) -> None:
        """Store an image and its tags as the registry does, at least as far as a layout can tell."""
        await self.importer.ensure(repository)
        for child in image.children:
            await self.push(child, repository=repository)
        manifest = parse_manifest(image.content, image.media_type)
        for descriptor, content in zip(manifest.blobs, image.blobs, strict=True):
            digest = Digest(descriptor.digest)
            await self.storage.put(repository, digest, content)
            blob = LayoutBlob(digest, len(content))
            await self.catalog.do(ImportLayout(repository=repository, blobs=(blob,)))
        outcome = await self.catalog.do(
            PutManifest(
                repository=repository,
                digest=Digest(image.digest),
                content=image.content,
                media_type=manifest.media_type,
                artifact_type=manifest.artifact_type,
                subject=manifest.subject,
                edges=edges(manifest),
                tags=tuple(TagMove(parse_tag(tag)) for tag in tags),
            )
        )
        assert isinstance(outcome, Stored)

    async def delete_tag(self, tag: str, repository: Repository = APP) -> None:
        """Delete a tag."""
        await self.catalog.do(DeleteTag(repository=repository, tag=parse_name(tag)))

    async def delete(self, image: Image, repository: Repository = APP) -> None:
        """Delete a manifest with its tags."""
        await self.catalog.do(RemoveManifest(repository=repository, digest=Digest(image.digest)))

    async def tags(self, repository: Repository = APP) -> dict[str, str]:
        """Return the manifest of each tag in the catalog."""
        return {row.name: row.digest for row in await self.catalog.tags(repository, "", 1000)}

    async def is_due(self, repository: Repository = APP) -> bool:
        """Tell whether an export is due."""
        return repository in await self.catalog.exports_due(1000)

    async def close(self) -> None:
        """Cancel the background work."""
        await self.layouts.close()


class Store(LayoutStore[FilesystemLayouts]):
    """One process of a server on `root`. Several on one root and catalog are several processes."""

    def __init__(
        self,
        root: Path,
        pools: ThreadPools,
        catalog: Catalog | None = None,
        disk: Disk | None = None,
        wait_s: float = 5.0,
    ) -> None:
        """Begin with an empty catalog, unless one is given."""
        self.root = root
        storage = FilesystemStorage(str(root), pools, min_free_percent=0, min_free_bytes=0, disk=disk)
        files = FilesystemLayouts([str(root)], lambda _: str(root), storage.ready, pools, disk=disk)
        super().__init__(catalog, storage, files, wait_s)

    async def collect(self) -> None:
        """Run two sweeps with a delay of zero."""
        registry = Registry(catalog=self.catalog, storage=self.storage, layouts=self.layouts)
        stores = MaintainedStores(StorageConfig(root_directory=str(self.root)))
        layouts = CollectedLayouts(self.files.ready, self.exporter.remove)
        seconds = itertools.count()
        clock = CollectorClock(0.0, lambda: float(next(seconds)))
        collector = Collector(registry, stores, layouts, None, clock, NoObserver())
        rules = stores.all[0]
        now = replace(rules, delay_s=0.0, retention=rules.retention.with_delay(0.0))
        for _ in range(2):
            async for _pause in collector.sweep(now, lambda _: None):
                pass

    def layout(self, repository: Repository = APP) -> Layout:
        """Return a repository's layout, to read and to write as other programs do."""
        return Layout(self.root / repository)
