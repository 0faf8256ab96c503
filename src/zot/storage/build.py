"""The storage, from the configuration."""

from __future__ import annotations

from zot.config.storage import Storage as Configuration
from zot.config.storage import Store
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import Storage
from zot.storage.pools import Pools
from zot.storage.routed import RoutedStorage


def build(config: Configuration, pools: Pools) -> Storage:
    """Return the main store, with the stores of sub-paths beside it if there are any."""

    def store(section: Store) -> FilesystemStorage:
        return FilesystemStorage(
            section.root_directory,
            pools,
            durable=section.commit,
            min_free_percent=config.min_free_percent,
            min_free_bytes=config.min_free_bytes,
        )

    main = store(config)
    if not config.sub_paths:
        return main
    return RoutedStorage(main, {route: store(each) for route, each in config.sub_paths.items()})
