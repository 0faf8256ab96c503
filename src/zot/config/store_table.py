"""The stores of a configuration, and the store of each repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zot.config.driver_options import S3, driver_options
from zot.config.storage import StorageConfig, StoreConfig
from zot.oci.names import Repository, route_of

MAIN = "/"
"""The route of the main store."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """A store: its route, its root and its section of the configuration."""

    route: str
    """`/` for the main store, else a slash and the first component of its repositories' names."""
    root: str
    """An absolute path whose symlinks are not resolved, since operators may swap them; or an object store's location.

    Routes may share a root.
    """
    config: StoreConfig
    objects: S3 | None = None
    """The object store that the content is in; None for a directory."""


class StoreTable:
    """The stores of one configuration, the main store first."""

    def __init__(self, config: StorageConfig) -> None:
        self._main = _entry(MAIN, config)
        self._entries = {MAIN: self._main}
        self._entries.update((route, _entry(route, each)) for route, each in config.sub_paths.items())

    def __iter__(self) -> Iterator[StoreEntry]:
        """Iterate over the stores."""
        return iter(self._entries.values())

    def of(self, repository: Repository) -> StoreEntry:
        """Return the store of a repository: the sub-path of its route, or the main store."""
        return self._entries.get(route_of(repository), self._main)

    def root_of(self, repository: Repository) -> str:
        """Return the root of a repository's store."""
        return self.of(repository).root

    @property
    def roots(self) -> tuple[str, ...]:
        """The distinct roots that are directories, the main store's first."""
        return tuple(dict.fromkeys(each.root for each in self if each.objects is None))

    @property
    def directories(self) -> tuple[str, ...]:
        """The distinct directories of a server: the main store's, also if its content is elsewhere, and the roots."""
        main = str(Path(self._main.config.root_directory).absolute())
        return tuple(dict.fromkeys((main, *self.roots)))

    @property
    def object_stores(self) -> dict[str, S3]:
        """The object stores, by their roots."""
        return {each.root: each.objects for each in self if each.objects is not None}


def _entry(route: str, config: StoreConfig) -> StoreEntry:
    if config.storage_driver is not None and config.storage_driver.get("name") == "s3":
        options = driver_options(config.storage_driver, S3, "storageDriver")
        return StoreEntry(route, options.location, config, options)
    return StoreEntry(route, str(Path(config.root_directory).absolute()), config)
