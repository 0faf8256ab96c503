"""A registry in memory with a clock that tests set, and its collector."""

from __future__ import annotations

from typing import Any

import msgspec

from zot.catalog.blob_commands import ClaimBlob, PublishBlob, PutBlob
from zot.catalog.edges import edges
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.manifest_commands import PutManifest, RemoveRepository, Stored, TagMove
from zot.config.storage import StorageConfig
from zot.maintenance.clock import CollectorClock
from zot.maintenance.gc import CollectedLayouts, Collector
from zot.maintenance.observer import NoObserver
from zot.maintenance.stores import MaintainedStores
from zot.maintenance.sweep_stats import Pauses
from zot.oci.digest import Digest, digest_of
from zot.oci.manifest import parse_manifest
from zot.oci.media_types import IMAGE_INDEX, IMAGE_MANIFEST, OCTET_STREAM
from zot.oci.names import Repository, Tag
from zot.registry.registry import Registry
from zot.statistics.memory import MemoryStatistics
from zot.storage.interface import Storage

APP, OTHER = Repository("team/app"), Repository("other")
DELAY_S = 3600.0


class Seconds:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def ns(self) -> int:
        """Return the time in the catalog's unit."""
        return int(self.now_s * 10**9)


class Site:
    """A registry, its parts, and operations on it."""

    def __init__(self, catalog: Catalog, storage: Storage, monotonic: Seconds, wall: Seconds) -> None:
        self.catalog = catalog
        self.storage = storage
        self.monotonic = monotonic
        self.wall = wall
        self.statistics = MemoryStatistics()
        self.registry = Registry(catalog=catalog, storage=storage)
        self.clock = CollectorClock(0.0, monotonic)
        self.config = StorageConfig(root_directory="/nowhere")
        self.collector = self.make_collector()

    def make_collector(self) -> Collector:
        """Return a new collector without memory."""
        return Collector(
            self.registry,
            MaintainedStores(self.config),
            CollectedLayouts(ready=_ready, remove=self._remove),
            self.statistics,
            self.clock,
            NoObserver(),
            self.wall,
        )

    def configure(self, **storage: Any) -> None:
        """Have another configuration of the storage, by its keys."""
        self.config = StorageConfig.model_validate({"rootDirectory": "/nowhere", **storage})
        self.collector = self.make_collector()

    async def _remove(self, repository: Repository) -> bool:
        return await self.catalog.do(RemoveRepository(repository=repository))

    async def sweep(self, route: str = "/") -> str:
        """Run a sweep and return its last report."""
        said: list[str] = []
        store = next(each for each in MaintainedStores(self.config).all if each.route == route)
        await drain(self.collector.sweep(store, said.append))
        return said[-1] if said else ""

    async def sweep_until_done(self) -> None:
        """Run sweeps, a delay apart, until they find nothing more."""
        before = None
        while before != (before := await self.everything()):
            for _ in range(2):
                await self.sweep()
                self.monotonic.now_s += 2 * DELAY_S

    async def everything(self) -> list[Any]:
        """Return the present content."""
        found: list[Any] = []
        for name in await self.catalog.repositories("", 100):
            found.append(name)
            found += [row.digest for row in await self.catalog.manifests(name, "", 1000)]
            found += [row.name for row in await self.catalog.tags(name, "", 1000)]
            found += await self.catalog.blobs(name, "", 1000)
        return found

    async def blob(self, content: bytes, repository: Repository = APP) -> Digest:
        """Push a blob."""
        digest = digest_of(content)
        await self.catalog.do(ImportLayout(repository=repository, complete=True))
        await self.catalog.do(ClaimBlob(repository=repository, digest=digest, token="t", owner=self.catalog.owner))
        await self.storage.put(repository, digest, content)
        await self.catalog.do(PublishBlob(repository=repository, digest=digest, token="t", size=len(content)))
        return digest

    async def hold(self, content: bytes, repository: Repository = APP) -> Digest:
        """Push a small blob whose bytes the catalog holds."""
        digest = digest_of(content)
        await self.catalog.do(ImportLayout(repository=repository, complete=True))
        await self.catalog.do(PutBlob(repository=repository, digest=digest, content=content))
        return digest

    async def image(
        self, *tags: str, name: str = "image", subject: Digest | None = None, repository: Repository = APP, by: str = ""
    ) -> Digest:
        """Push an image of two blobs, with tags; return its digest."""
        descriptors = [
            _descriptor(
                OCTET_STREAM, await self.blob(f"{part} of {name}".encode(), repository), len(f"{part} of {name}")
            )
            for part in ("config", "layer")
        ]
        document = {"schemaVersion": 2, "config": descriptors[0], "layers": descriptors[1:]}
        if subject is not None:
            document["subject"] = _descriptor(IMAGE_MANIFEST, subject, 1)
        return await self.push(document, IMAGE_MANIFEST, tags, repository, by)

    async def index(self, *children: Digest, tags: tuple[str, ...] = (), repository: Repository = APP) -> Digest:
        """Push an index."""
        manifests = [_descriptor(IMAGE_MANIFEST, child, 1) for child in children]
        return await self.push({"schemaVersion": 2, "manifests": manifests}, IMAGE_INDEX, tags, repository, "")

    async def push(
        self, document: dict[str, Any], media_type: str, tags: tuple[str, ...], repository: Repository, by: str
    ) -> Digest:
        """Push a manifest."""
        await self.catalog.do(ImportLayout(repository=repository, complete=True))
        content = msgspec.json.encode(document)
        parsed = parse_manifest(content, media_type)
        put = PutManifest(
            repository=repository,
            digest=digest_of(content),
            content=content,
            media_type=media_type,
            subject=parsed.subject,
            edges=edges(parsed),
            tags=tuple(TagMove(Tag(tag)) for tag in tags),
            by=by,
        )
        assert isinstance(await self.catalog.do(put), Stored)
        return put.digest

    async def tags(self, repository: Repository = APP) -> list[str]:
        """Return the existing tags."""
        return [row.name for row in await self.catalog.tags(repository, "", 1000)]


def _descriptor(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


async def _ready(_: Repository) -> None:
    return


async def drain(steps: Pauses) -> list[float]:
    """Make all steps at once; return the pauses that they yield."""
    return [pause_s async for pause_s in steps]
