"""Build the storage from the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from zot.config.driver_options import LARGEST_CHUNK_BYTES
from zot.config.state_directory import StateDirectory
from zot.config.storage import StorageConfig as Configuration
from zot.config.store_table import StoreEntry, StoreTable
from zot.storage.disk import Disk
from zot.storage.filesystem import FilesystemStorage
from zot.storage.free_space import Floor, FreeSpace
from zot.storage.interface import Storage, StorageFullError
from zot.storage.object_store.interface import ObjectStore
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.staged import ChunkMemory
from zot.storage.object_store.storage import ObjectStorage
from zot.storage.per_store import PerStoreStorage
from zot.storage.synced_directories import SyncedDirectories
from zot.storage.threads import ThreadPools


def floor_of(config: Configuration) -> Floor:
    """Return how much space stays free on each disk; defaults are smaller on small disks."""
    named = "min_free_bytes" in config.model_fields_set
    return Floor(config.min_free_percent, config.min_free_bytes if named else None)


def space_warnings(config: Configuration) -> Iterator[str]:
    """Yield a sentence for each root whose disk is too full for pushes. Blocks; creates nothing."""
    disk, floor = Disk(), floor_of(config)
    for root in map(Path, StoreTable(config).directories):
        there = next(each for each in (root, *root.parents) if each.exists())
        try:
            FreeSpace(disk, str(there), floor).check()
        except (StorageFullError, OSError) as error:
            yield str(error)


class OpenObjectStore(NamedTuple):
    """An object store, and the locks on it of this machine's processes."""

    objects: ObjectStore
    locks: LocalLocks


def open_object_stores(config: Configuration, pools: ThreadPools) -> dict[str, OpenObjectStore]:
    """Return the object stores of a configuration, by their roots, for content and layouts of this process."""
    options = StoreTable(config).object_stores
    if not options:
        return {}
    # Brings the library of object stores, whose threads do not outlive a fork.
    from zot.storage.object_store.s3 import S3Objects  # noqa: PLC0415

    locks = LocalLocks(str(StateDirectory.of(config).locks), pools.durable)
    return {root: OpenObjectStore(S3Objects(each, each.prefix), locks) for root, each in options.items()}


def build(
    config: Configuration,
    pools: ThreadPools,
    expected: Mapping[str, str] | None = None,
    synced: SyncedDirectories | None = None,
    objects: Mapping[str, OpenObjectStore] = {},
) -> Storage:
    """Return the storage of the main store and of the sub-paths.

    Sub-paths with the same root share one store. `expected` maps roots to the identities that they had before.
    `synced` is shared by the processes of a server. `objects` has the open object stores by their roots; the storage
    closes them.
    """
    stores: dict[str, Storage] = {}
    memory = ChunkMemory()
    floor = floor_of(config)

    def store(entry: StoreEntry) -> Storage:
        root = entry.root
        if root not in stores:
            identity = expected.get(root) if expected else None
            if entry.objects is not None:
                chunk_bytes = min(entry.objects.chunk_bytes, LARGEST_CHUNK_BYTES)
                stores[root] = ObjectStorage(
                    objects[root].objects,
                    pools,
                    objects[root].locks,
                    expected=identity,
                    chunk_bytes=chunk_bytes,
                    memory=memory,
                )
            else:
                stores[root] = FilesystemStorage(
                    root,
                    pools,
                    durable=entry.config.commit,
                    expected=identity,
                    min_free_percent=floor.min_free_percent,
                    min_free_bytes=floor.min_free_bytes,
                    synced=synced,
                )
        return stores[root]

    main, *others = StoreTable(config)
    if not others:
        return store(main)
    return PerStoreStorage(store(main), {each.route: store(each) for each in others})
