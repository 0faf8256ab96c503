"""The paths of what a server keeps beside its content: the catalog's directory, and this machine's run-time files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zot.config.storage import StorageConfig

CATALOG_DATABASE = "catalog.db"

_SOCKET_ADDRESS_LIMIT_BYTES = 100


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Names every file of a server that is no content of a repository.

    The files that an embedded driver keeps beside its database are the driver's own. What each root has of its own
    (identity, lock, quarantine) is in `.zot` below the root, and `zot.storage` names it.
    """

    catalog: Path
    """The directory of the catalog. It outlives the server, and moves with its disk to another machine."""
    runtime: Path
    """Where the processes of this machine meet: sockets and metrics. Worthless once the server has ended."""
    sessions: Path
    """The directory of login sessions, where zot has it: below the main root."""
    zot_metadata: Path
    """The database of a zot that served the main root before."""

    @classmethod
    def of(cls, storage: StorageConfig) -> StateDirectory:
        """Return the paths that a configuration names, from the file system's root; symlinks in them stay."""
        root = Path(storage.root_directory).absolute()
        catalog = Path(storage.catalog.directory).absolute() if storage.catalog.directory else root / ".zot"
        return cls(catalog, catalog, root / "_sessions", root / "meta.db")

    # --- databases ---

    @property
    def catalog_database(self) -> Path:
        """The embedded catalog."""
        return self.catalog / CATALOG_DATABASE

    @property
    def accounts_database(self) -> Path:
        """Users, API keys and stars."""
        return self.catalog / "identity.db"

    @property
    def statistics_database(self) -> Path:
        """Counts of pulls and pushes."""
        return self.catalog / "activity.db"

    # --- what a start has to know of earlier ones ---

    @property
    def stores(self) -> Path:
        """The identity of each root that was served with this catalog."""
        return self.catalog / "stores.json"

    @property
    def epoch(self) -> Path:
        """The time of the last start on this catalog."""
        return self.catalog / "epoch"

    @property
    def jobs(self) -> Path:
        """When each job ran last."""
        return self.catalog / "jobs.json"

    @property
    def zot_imported(self) -> Path:
        """The mark that zot's metadata is imported."""
        return self.catalog / "zot-taken-over"

    @property
    def zot_accounts_settled(self) -> Path:
        """The start of the server in which zot's users were imported, or found to be unreadable."""
        return self.catalog / "zot-accounts-settled"

    # --- run-time files ---

    @property
    def writer_socket(self) -> Path:
        """Where the catalog writer listens."""
        return self.runtime / "writer.sock"

    @property
    def control_socket(self) -> Path:
        """Where the server answers commands of `zot`."""
        return self.runtime / "control"

    @property
    def metrics(self) -> Path:
        """The directory in which the processes share what they count."""
        return self.runtime / "metrics"


def socket_address(path: Path) -> Path:
    """Return a path to the same socket that is short enough for an address, which has at most 107 bytes.

    A long one leads through a descriptor of its directory, which stays open for as long as the process lives. Raises
    OSError if that directory is not there.
    """
    if len(os.fsencode(path)) <= _SOCKET_ADDRESS_LIMIT_BYTES or not Path("/proc/self/fd").is_dir():
        return path
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    return Path(f"/proc/self/fd/{directory}", path.name)
