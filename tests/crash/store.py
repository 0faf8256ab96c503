"""A store as `zot.server.store` opens it, on a disk that a test controls."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from layout.images import Image
from zot.accounts.memory_engine import MemoryAccountsEngine
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import TagMove
from zot.catalog.sqlite.driver import SqliteCatalog
from zot.catalog.sqlite.engine import SqliteCatalogEngine
from zot.catalog.sqlite.thread import WriterThread
from zot.catalog.sqlite.writer import Writer
from zot.config.load import load_tree
from zot.config.model import Config
from zot.layout.build import build_jobs
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
from zot.registry import blobs, manifests, tags, uploads
from zot.registry.request import AppendUpload, FinishUpload, PushManifest
from zot.server.drivers import Drivers
from zot.server.plan import ServerPlan, make_plan
from zot.server.store import Store as OpenStore
from zot.server.store import locked_roots, open_claimed_store
from zot.storage.disk import Disk

DRAIN_S = 30.0
DAY_S = 24 * 3600


def configuration(root: Path, room_bytes: int = 0) -> Config:
    """Return a configuration that keeps `room_bytes` of space free."""
    storage = {"rootDirectory": str(root), "minFreePercent": 0, "minFreeBytes": room_bytes, "gcDelay": "0s"}
    return load_tree({"storage": storage}).config


class Clock:
    """The time of a store, which a test can put forward."""

    ahead_s = 0

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self.ahead_s

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return time.time_ns() + self.ahead_s * 10**9


class _Engine(SqliteCatalogEngine):
    """The catalog, on a file system below SQLite that a test controls."""

    def __init__(self, plan: ServerPlan, clock: Clock, vfs: str | None) -> None:
        super().__init__(plan.state)
        self._clock = clock
        self._vfs = vfs

    def open(self, owner: str) -> Catalog:
        """Begin the catalog, with the writer as a thread."""
        writer = WriterThread(Writer(self._directory, owner, self._clock.now_ns, self._vfs))
        return SqliteCatalog(self._database, writer, owner, self._clock.now_ns)


class Store:
    """One start of a server on `root`, with the registry's use cases as its API calls them."""

    def __init__(self, store: OpenStore, clock: Clock, opened: AsyncExitStack) -> None:
        """Use an open store until `opened` is closed."""
        assert store.layouts is not None
        self.root = Path(store.config.storage.root_directory)
        self.config = store.config
        self.catalog = store.catalog
        self.storage = store.storage
        self.layouts = store.layouts
        self.registry = store.registry(store.config)
        self.jobs = build_jobs(store.catalog, store.storage, store.layouts)
        # No other program is writing an index.json.
        self.jobs.exporter._edits._retry_s = 0
        self._clock = clock
        self._opened = opened
        self._removals = UnfinishedDeletes(self.registry, clock.now_s)

    @classmethod
    async def open(cls, config: Config, *, disk: Disk | None = None, vfs: str | None = None) -> Store:
        """Open it as `zot serve` does in one process. Raises RootInUseError, CatalogUnusableError, StorageError."""
        clock = Clock()
        plan = make_plan(config, None, workers=0, read_only=False)
        drivers = Drivers(lambda plan: _Engine(plan, clock, vfs), lambda _: MemoryAccountsEngine(), disk)
        async with AsyncExitStack() as opened:
            opened.enter_context(locked_roots(plan, wait_s=0))
            store = await opened.enter_async_context(open_claimed_store(config, plan, drivers=drivers))
            return cls(store, clock, opened.pop_all())

    async def close(self) -> None:
        """Close it as at the end of a process."""
        await self._opened.aclose()

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
        self._clock.ahead_s += DAY_S
        await self.finish_removals()
        stale = StaleUploads(self.registry, stores, CollectorClock(), NoObserver())
        for _ in range(2):
            async for _removed in stale.collect(rules):
                pass
        await _at_once(OrphanFiles(self.registry, stores, layouts).collect(rules, _say_nothing))


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
