"""The storage, from the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from zot.config.storage import StorageConfig as Configuration
from zot.config.store_table import StoreEntry, StoreTable
from zot.storage.disk import Disk
from zot.storage.filesystem import FilesystemStorage
from zot.storage.free_space import Floor, FreeSpace
from zot.storage.interface import Storage, StorageFullError
from zot.storage.per_store import PerStoreStorage
from zot.storage.threads import ThreadPools


def floor_of(config: Configuration) -> Floor:
    """Return how much stays free on each disk; what the configuration does not name shrinks with the disk."""
    named = "min_free_bytes" in config.model_fields_set
    return Floor(config.min_free_percent, config.min_free_bytes if named else None)


def room_warnings(config: Configuration) -> Iterator[str]:
    """Yield a sentence for each root on whose disk pushes would be refused now. It blocks; nothing is made."""
    disk, floor = Disk(), floor_of(config)
    for root in map(Path, StoreTable(config).roots):
        there = next(each for each in (root, *root.parents) if each.exists())
        try:
            FreeSpace(disk, str(there), floor).check()
        except (StorageFullError, OSError) as error:
            yield str(error)


def build(config: Configuration, pools: ThreadPools, expected: Mapping[str, str] | None = None) -> Storage:
    """Return the main store, with the stores of sub-paths beside it if there are any.

    Sub-paths with the same root have one store. `expected` has the identities of roots (absolute paths) that were
    there before.
    """
    stores: dict[str, FilesystemStorage] = {}
    floor = floor_of(config)

    def store(entry: StoreEntry) -> FilesystemStorage:
        root = entry.root
        if root not in stores:
            stores[root] = FilesystemStorage(
                root,
                pools,
                durable=entry.config.commit,
                expected=expected.get(root) if expected else None,
                min_free_percent=floor.min_free_percent,
                min_free_bytes=floor.min_free_bytes,
            )
        return stores[root]

    main, *others = StoreTable(config)
    if not others:
        return store(main)
    return PerStoreStorage(store(main), {each.route: store(each) for each in others})
