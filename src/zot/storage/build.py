"""The storage, from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zot.config.storage import Storage as Configuration
from zot.config.storage import Store
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import Storage
from zot.storage.pools import Pools
from zot.storage.routed import RoutedStorage


def build(config: Configuration, pools: Pools, expected: Mapping[str, str] | None = None) -> Storage:
    """Return the main store, with the stores of sub-paths beside it if there are any.

    Sub-paths with the same root have one store. `expected` has the identities of roots (absolute paths) that were
    there before.
    """
    stores: dict[str, FilesystemStorage] = {}

    def store(section: Store) -> FilesystemStorage:
        root = str(Path(section.root_directory).absolute())
        if root not in stores:
            stores[root] = FilesystemStorage(
                root,
                pools,
                durable=section.commit,
                expected=expected.get(root) if expected else None,
                min_free_percent=config.min_free_percent,
                min_free_bytes=config.min_free_bytes,
            )
        return stores[root]

    main = store(config)
    if not config.sub_paths:
        return main
    return RoutedStorage(main, {route: store(each) for route, each in config.sub_paths.items()})
