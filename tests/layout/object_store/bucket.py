"""A store in a bucket, and its objects as another program reads and writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from layout.images import Image, sha256
from layout.store import APP, LayoutStore
from zot.catalog.interface import Catalog
from zot.layout.object_store.layouts import ObjectStoreLayouts
from zot.oci.names import Repository
from zot.storage.object_store.interface import ObjectMissingError, ObjectStore
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.storage import ObjectStorage
from zot.storage.threads import ThreadPools

CHUNK_BYTES = 5 * 1024 * 1024


class BucketStore(LayoutStore[ObjectStoreLayouts]):
    """One process of a server on a bucket. Several on one bucket and catalog are several processes."""

    def __init__(
        self, objects: ObjectStore, locks: Path, pools: ThreadPools, catalog: Catalog | None = None, wait_s: float = 5.0
    ) -> None:
        """Begin with an empty catalog, unless one is given."""
        local = LocalLocks(str(locks), pools.read)
        storage = ObjectStorage(objects, pools, local, expected=None, chunk_bytes=CHUNK_BYTES)
        super().__init__(catalog, storage, ObjectStoreLayouts(objects, storage.ready, pools, local), wait_s)
        self.objects = objects


class BucketLayout:
    """The objects of a layout."""

    def __init__(self, objects: ObjectStore, repository: str = APP) -> None:
        """Look at the objects below a repository's name."""
        self._objects = objects
        self.repository = Repository(repository)

    async def write(self, *descriptors: dict[str, Any]) -> None:
        """Make it a layout with these descriptors."""
        await self._objects.write(f"{self.repository}/oci-layout", [b'{"imageLayoutVersion":"1.0.0"}'])
        index = {"schemaVersion": 2, "manifests": list(descriptors)}
        await self._objects.write(f"{self.repository}/index.json", [json.dumps(index).encode()])

    async def put(self, *images: Image) -> None:
        """Write the content of images."""
        for each in images:
            for content in (each.content, *each.blobs):
                await self._objects.write(self.key(sha256(content)), [content])
            await self.put(*each.children)

    async def put_markers(self, *contents: bytes) -> None:
        """Write empty objects in place of content, as zot does where another repository has it."""
        for content in contents:
            await self._objects.write(self.key(sha256(content)), [b""])

    def key(self, digest: str) -> str:
        """Return the key of content."""
        return f"{self.repository}/blobs/{digest.replace(':', '/')}"

    async def content(self, digest: str) -> bytes | None:
        """Return content, None if it is missing."""
        with suppress(ObjectMissingError):
            return (await self._objects.open(self.key(digest), 1 << 28))[1]
        return None

    async def descriptors(self) -> list[dict[str, Any]]:
        """Return what `index.json` lists."""
        _, content = await self._objects.open(f"{self.repository}/index.json", 1 << 28)
        return list(json.loads(content)["manifests"])

    async def tags(self) -> Mapping[str, str]:
        """Return the digest of each name in `index.json`."""
        return {
            each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"]
            for each in await self.descriptors()
            if "annotations" in each
        }
