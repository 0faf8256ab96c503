"""Build the storage from the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from zot.config.state_directory import StateDirectory
from zot.config.storage import StorageConfig as Configuration
from zot.config.store_table import StoreEntry, StoreTable
from zot.storage.disk import Disk
from zot.storage.filesystem import FilesystemStorage
from zot.storage.free_space import Floor, FreeSpace
from zot.storage.interface import Storage, StorageFullError
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


def build(
    config: Configuration,
    pools: ThreadPools,
    expected: Mapping[str, str] | None = None,
    synced: SyncedDirectories | None = None,
) -> Storage:
    """Return the storage of the main store and of the sub-paths.

    Sub-paths with the same root share one store. `expected` maps roots to the identities that they had before.
    `synced` is shared by the processes of a server.
    """
    stores: dict[str, Storage] = {}
    floor = floor_of(config)

    def store(entry: StoreEntry) -> Storage:
        root = entry.root
        if root not in stores:
            identity = expected.get(root) if expected else None
            if entry.objects is not None:
                # Brings the library of object stores.
                from zot.storage.object_store.build import build as build_objects  # noqa: PLC0415

                stores[root] = build_objects(entry.objects, pools, StateDirectory.of(config).locks, identity)
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
