"""The stores of a configuration: which repositories are kept below which root, by which rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zot.config.storage import StorageConfig, StoreConfig
from zot.oci.names import Repository, route_of

MAIN = "/"
"""The route of the main store."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One store: a route, the root of its content, and its section of the configuration."""

    route: str
    """`/` for the main store, else that of a sub-path: `/` and the first component of its repositories' names."""
    root: str
    """An absolute path, in which symlinks stay, since they may be swapped on purpose. Several routes may have it."""
    config: StoreConfig


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
        """Return the store of a repository: that of its route, or the main store."""
        return self._entries.get(route_of(repository), self._main)

    def root_of(self, repository: Repository) -> str:
        """Return the root that a repository is below."""
        return self.of(repository).root

    @property
    def roots(self) -> tuple[str, ...]:
        """Each root once, the main store's first."""
        return tuple(dict.fromkeys(each.root for each in self))


def _entry(route: str, config: StoreConfig) -> StoreEntry:
    return StoreEntry(route, str(Path(config.root_directory).absolute()), config)
