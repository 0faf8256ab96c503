"""A server's stores as `zot.server.store` puts them together, on a disk that a test controls."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from layout.images import Image
from zot.catalog.manifest_commands import TagMove
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.driver import SqliteCatalog
from zot.catalog.sqlite.thread import WriterThread
from zot.catalog.sqlite.writer import Writer
from zot.config.load import load_tree
from zot.config.model import Config
from zot.layout.build import build_jobs
from zot.layout.external_edits import ExternalEdits
from zot.layout.filesystem import FilesystemLayouts
from zot.layout.layouts import StoreLayouts
from zot.layout.reconcile import Reconciler
from zot.layout.scanner import LayoutScanner
from zot.maintenance.clock import CollectorClock
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.observer import NoObserver
from zot.maintenance.orphan_files import OrphanFiles
from zot.maintenance.stale_uploads import StaleUploads
from zot.maintenance.stores import MaintainedStores
from zot.maintenance.sweep_stats import Pauses
from zot.maintenance.unfinished_deletes import UnfinishedDeletes
from zot.oci.digest import Digest
from zot.oci.names import Repository, parse_tag
from zot.registry import blobs, build, manifests, tags, uploads
from zot.registry.content_cache import ContentCache
from zot.registry.request import AppendUpload, FinishUpload, PushManifest
from zot.registry.small_bodies import SmallBodies
from zot.storage.disk import Disk
from zot.storage.filesystem import FilesystemStorage
from zot.storage.lock import lock_root
from zot.storage.synced_directories import SyncedDirectories
from zot.storage.threads import ThreadPools

CATALOG = ".zot"
DRAIN_S = 30.0
SMALL_BYTES = 1024
DAY_S = 24 * 3600


def configuration(root: Path) -> Config:
    """Return a configuration that keeps no space free."""
    return load_tree(
        {"storage": {"rootDirectory": str(root), "minFreePercent": 0, "minFreeBytes": 0, "gcDelay": "0s"}}
    ).config


class Store:
    """One start of a server on `root`, with the registry's use cases as its API calls them."""

    def __init__(
        self,
        config: Config,
        pools: ThreadPools,
        *,
        disk: Disk | None = None,
        vfs: str | None = None,
        room_bytes: int = 0,
    ) -> None:
        """Open it as `zot serve` does in one process. Raises CatalogUnusableError, StorageError."""
        self.root = Path(config.storage.root_directory)
        self.boot = uuid4().hex
        self.config = config
        self._root_lock = lock_root(str(self.root), wait_s=0)
        self._ahead_s = 0
        try:
            writer = WriterThread(Writer(self.root / CATALOG, self.boot, self._now_ns, vfs))
        except BaseException:
            self._root_lock.close()
            raise
        self.catalog = SqliteCatalog(self.root / CATALOG / DATABASE, writer, self.boot, self._now_ns)
        root = str(self.root)
        synced = SyncedDirectories()
        self.storage = FilesystemStorage(
            root, pools, disk=disk, min_free_percent=0, min_free_bytes=room_bytes, synced=synced
        )
        files = FilesystemLayouts([root], lambda _: root, self.storage.ready, pools, disk=disk, synced=synced)
        reconciler = Reconciler(self.catalog, self.storage, files)
        self.layouts = StoreLayouts(self.catalog, self.storage, files, ExternalEdits(self.catalog, files, reconciler))
        self.jobs = build_jobs(self.catalog, self.storage, self.layouts)
        # No other program is writing an index.json.
        self.jobs.exporter._edits._retry_s = 0
        parts = build.RegistryParts(self.catalog, self.storage, self.layouts, ContentCache())
        # The parts of images are held by the catalog; LARGE is a file at once, from memory if it comes in one request.
        self.registry = replace(build.build(config, parts), small_bodies=SmallBodies(held_bytes=SMALL_BYTES))
        self._removals = UnfinishedDeletes(self.registry, self._now_s)

    async def close(self) -> None:
        """Close it as at the end of a process."""
        await self.layouts.close()
        await self.catalog.close()
        self._root_lock.close()

    # --- what clients do ---

    async def push_blob(self, repository: Repository, content: bytes) -> None:
        """Push a blob in one request."""
        await uploads.whole(self.registry, repository, "", digest_of(content), body(content), len(content))

    async def push_chunks(self, repository: Repository, *chunks: bytes) -> None:
        """Push a blob in a session, a chunk a request, and finish it without a body."""
        session = await uploads.begin(self.registry, repository, "")
        for chunk in chunks:
            request = AppendUpload(repository=repository, session=session)
            await uploads.append(self.registry, request, "", body(chunk), None)
        await self.finish(repository, session, b"".join(chunks))

    async def finish(self, repository: Repository, session: str, content: bytes) -> None:
        """Finish a session that has all its bytes."""
        request = FinishUpload(repository=repository, session=session, digest=digest_of(content))
        await uploads.finish(self.registry, request, "", None, None)

    async def push_manifest(self, repository: Repository, image: Image, *tags: str) -> None:
        """Push a manifest under tags."""
        names = tuple(map(parse_tag, tags))
        request = PushManifest(repository=repository, reference=Digest(image.digest), tags=names)
        moves = [TagMove(name) for name in names]
        await manifests.push(self.registry, request, image.content, image.media_type, moves, "")

    async def mount(self, repository: Repository, source: Repository, content: bytes) -> None:
        """Mount a blob."""
        assert await blobs.mount(self.registry, repository, digest_of(content), source, lambda _: True)

    async def delete_tag(self, repository: Repository, tag: str) -> None:
        """Delete a tag."""
        await tags.delete(self.registry, repository, parse_tag(tag), immutable=False, by="")

    async def delete_manifest(self, repository: Repository, image: Image) -> None:
        """Delete a manifest with its tags."""
        await manifests.delete(
            self.registry,
            repository,
            Digest(image.digest),
            immutable=lambda _: False,
            detect_collision=False,
            by="",
        )

    async def delete_blob(self, repository: Repository, content: bytes) -> None:
        """Delete a blob."""
        await blobs.delete(self.registry, repository, digest_of(content))

    # --- what the server does by itself ---

    async def sync_layouts(self) -> None:
        """Import new layouts, merge external edits, export due layouts."""
        exporter = self.jobs.exporter
        scanner = LayoutScanner(
            self.catalog,
            self.layouts.files,
            self.layouts.importer,
            self.layouts.unimported_names,
            exporter,
            self.layouts.arrivals,
            looks_per_s=1e6,
        )
        await scanner.import_all()
        await scanner.check_all()
        assert await self.jobs.schedule.drain(DRAIN_S), "layouts are not in sync"

    async def finish_removals(self) -> None:
        """Finish the deletes of an earlier start, as the jobs do first."""
        await _at_once(self._removals.finish(_say_nothing))

    async def tidy(self) -> None:
        """Run days of maintenance: finish interrupted deletes, remove stale uploads and orphan files."""
        stores = MaintainedStores(self.config.storage)
        (rules,) = stores.all
        layouts = CollectedLayouts(self.layouts.files.ready, self.jobs.exporter.remove)
        await self.finish_removals()
        self._ahead_s += DAY_S
        await self.finish_removals()
        stale = StaleUploads(self.registry, stores, CollectorClock(), NoObserver())
        for _ in range(2):
            async for _removed in stale.collect(rules):
                pass
        await _at_once(OrphanFiles(self.registry, stores, layouts).collect(rules, _say_nothing))

    def _now_s(self) -> float:
        return time.time() + self._ahead_s

    def _now_ns(self) -> int:
        return time.time_ns() + self._ahead_s * 10**9


def digest_of(content: bytes) -> Digest:
    """Return the sha256 digest."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    """Iterate over the pieces."""
    for piece in pieces:
        yield piece


async def _at_once(work: Pauses) -> None:
    async for _pause_s in work:
        pass


def _say_nothing(_: str) -> None:
    """Ignore the progress."""
