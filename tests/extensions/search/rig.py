"""A catalog, its content and the search index of it, for the tests of the index."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import apsw

from zot.catalog.edges import edges
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import PutManifest, Stored, TagMove
from zot.catalog.memory.driver import MemoryCatalog
from zot.extensions.search.index.consumer import IndexConsumer
from zot.extensions.search.index.database import Filling, read_state
from zot.extensions.search.index.schema import unpack
from zot.oci import media_types
from zot.oci.digest import Digest, digest_of
from zot.oci.manifest import parse_manifest
from zot.oci.names import Repository, Tag
from zot.statistics.memory import MemoryStatistics
from zot.storage.interface import Storage
from zot.storage.memory import MemoryStorage

OWNER = "boot"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


class Registry:
    """A catalog and its content; pushes are the catalog's own commands."""

    def __init__(self, catalog: Catalog | None = None, storage: Storage | None = None) -> None:
        self.catalog = catalog or MemoryCatalog(owner=OWNER)
        self.storage = storage or MemoryStorage()
        self.statistics = MemoryStatistics()

    async def put(self, repository: str, document: Mapping[str, Any], *tags: str, by: str = "alice") -> Digest:
        """Store a manifest, whose blobs need not be there, and point tags at it."""
        return await self.put_content(repository, json.dumps(document).encode(), *tags, by=by)

    async def put_content(self, repository: str, content: bytes, *tags: str, by: str) -> Digest:
        """Store a manifest of exactly these bytes."""
        manifest = parse_manifest(content, None)
        stored = await self.catalog.do(
            PutManifest(
                repository=Repository(repository),
                digest=digest_of(content),
                content=content,
                media_type=manifest.media_type,
                artifact_type=manifest.artifact_type,
                subject=manifest.subject,
                annotations=manifest.annotations,
                edges=edges(manifest, sparse=True),
                tags=tuple(TagMove(Tag(tag)) for tag in tags),
                by=by,
            )
        )
        assert isinstance(stored, Stored)
        return digest_of(content)

    async def push(
        self, repository: str, *tags: str, config: Mapping[str, Any] | bytes | None = None, **parts: Any
    ) -> Digest:
        """Store an image with its config; `parts` are those of `image`."""
        raw = config if isinstance(config, bytes) else json.dumps(config or {}).encode()
        await self.storage.put(Repository(repository), digest_of(raw), raw)
        return await self.put(repository, image(raw, **parts), *tags)


def image(
    config: bytes = b"{}",
    *,
    layers: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
    subject: Digest | None = None,
    artifact_type: str | None = None,
    config_type: str = media_types.IMAGE_CONFIG,
) -> dict[str, Any]:
    """Return a manifest; a layer is known by a name, and its size is 100 times the length of it."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_types.IMAGE_MANIFEST,
        "config": {"mediaType": config_type, "digest": digest_of(config), "size": len(config)},
        "layers": [
            {"mediaType": LAYER_TYPE, "digest": digest_of(name.encode()), "size": 100 * len(name)} for name in layers
        ],
    }
    if annotations:
        document["annotations"] = dict(annotations)
    if artifact_type:
        document["artifactType"] = artifact_type
    if subject:
        document["subject"] = {"mediaType": media_types.IMAGE_MANIFEST, "digest": subject, "size": 1}
    return document


def index(*children: Digest, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return an index of manifests."""
    return {
        "schemaVersion": 2,
        "mediaType": media_types.IMAGE_INDEX,
        "manifests": [{"mediaType": media_types.IMAGE_MANIFEST, "digest": each, "size": 1} for each in children],
        "annotations": dict(annotations or {}),
    }


@asynccontextmanager
async def indexing(registry: Registry, path: Path, **options: Any) -> AsyncIterator[IndexConsumer]:
    """Keep an index of the registry during the block."""
    consumer = IndexConsumer(
        path,
        registry.catalog,
        registry.storage,
        registry.statistics,
        **{"pause_s": 0.001, "delay_s": 0.001, "pulls_s": 0.0, **options},
    )
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def in_sync(registry: Registry, path: Path) -> None:
    """Wait until an index has all that the catalog has."""
    while True:
        newest = (await registry.catalog.changes(None, 1)).cursor
        with suppress(apsw.Error), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            state = read_state(connection)
            if state.filling is Filling.DONE and state.cursor == newest:
                return
        await asyncio.sleep(0.001)


async def index_of(registry: Registry, path: Path) -> dict[str, list[Any]]:
    """Return what an index of the registry has, made from scratch."""
    async with indexing(registry, path):
        await in_sync(registry, path)
    return dump(path)


_DUMPS = {
    "repository": """SELECT name, images, updated_ns, pushed_ns,
        (SELECT tag FROM image WHERE id = newest) FROM repository""",
    "content": "SELECT digest, media_type, artifact_type, is_index, kind, tool, own_size, size, config, config_size, "
    "os, arch, variant, created_ns, chain, vendor, is_whole, manifest_facts, config_facts FROM content",
    "layer": """SELECT c.digest, ordinal, layer.digest, layer.size, layer.chain FROM layer
        JOIN content c ON c.id = content""",
    "child": "SELECT c.digest, ordinal, child.digest FROM child JOIN content c ON c.id = content",
    "label": "SELECT key, value, c.digest FROM label JOIN content c ON c.id = content",
    "manifest": """SELECT r.name, c.digest, subject, m.pushed_ns, m.pushed_by, tags, traits, m.size, m.updated_ns,
        m.kind, signed FROM manifest m JOIN content c ON c.id = content JOIN repository r ON r.id = m.repository""",
    "part": """SELECT r.name, c.digest, ordinal, p.digest FROM part JOIN content c ON c.id = part.content
        JOIN content p ON p.id = part.manifest JOIN repository r ON r.id = part.repository""",
    "image": """SELECT r.name, tag, c.digest, tagged_ns, moved_ns, i.updated_ns, i.size, i.kind, signed
        FROM image i JOIN content c ON c.id = content JOIN repository r ON r.id = i.repository""",
    "platform": """SELECT r.name, c.digest, p.os, p.arch, p.variant FROM platform p
        JOIN content c ON c.id = content JOIN repository r ON r.id = p.repository""",
    "attached": """SELECT r.name, tag, c.digest FROM attached a JOIN content c ON c.id = content
        JOIN repository r ON r.id = a.repository""",
    "trait": """SELECT t.name, r.name, value, arch, variant, manifests FROM trait t
        JOIN repository r ON r.id = repository""",
    "counts": "SELECT 'parts', count(*) FROM part UNION SELECT 'traits', count(*) FROM trait "
    "UNION SELECT 'layers', count(*) FROM layer UNION SELECT 'labels', count(*) FROM label "
    "UNION SELECT 'texts', count(*) FROM tag_text "
    "UNION SELECT 'platforms', count(*) FROM platform "
    "UNION SELECT 'texts of no image', count(*) FROM tag_text WHERE rowid NOT IN (SELECT id FROM image) "
    "UNION SELECT 'images out of range', count(*) FROM image WHERE id >> 32 <> repository",
}


def dump(path: Path) -> dict[str, list[Any]]:
    """Return the rows of an index by the names and digests that they are about, without its own numbers."""
    with closing(apsw.Connection(str(path))) as connection:
        return {
            table: sorted(
                (tuple(_shown(value) for value in row) for row in connection.execute(query).fetchall()), key=repr
            )
            for table, query in _DUMPS.items()
        }


def _shown(value: Any) -> Any:
    return unpack(value) if isinstance(value, bytes) and len(value) == 33 and value[0] == 1 else value
