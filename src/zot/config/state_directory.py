"""Paths of a server's databases, state files and sockets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zot.config.storage import StorageConfig

CATALOG_DATABASE = "catalog.db"

_SOCKET_ADDRESS_LIMIT_BYTES = 100


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The paths of all files of a server that are not content of a repository.

    Files that an embedded driver keeps beside its database are named by the driver. Files of each root (identity,
    lock, quarantine) are in `.zot` below the root and named by `zot.storage`.
    """

    catalog: Path
    """The directory of the catalog. It is durable, and may move with its disk to another machine."""
    runtime: Path
    """The directory of sockets and metrics of this machine's processes; of no use after the server ends."""
    sessions: Path
    """The directory of login sessions, in zot's place below the main root."""
    zot_metadata: Path
    """The database of a zot that served the main root before."""

    @classmethod
    def of(cls, storage: StorageConfig) -> StateDirectory:
        """Return the absolute paths for a configuration; symlinks are not resolved."""
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

    @property
    def search_database(self) -> Path:
        """The search index, which is made again from the catalog if it is lost."""
        return self.catalog / "search.db"

    @property
    def layers_database(self) -> Path:
        """The file lists of layers, which are made again from the layers if they are lost."""
        return self.catalog / "layers.db"

    @property
    def events_database(self) -> Path:
        """How far each sink of events is, and the events that it did not accept."""
        return self.catalog / "events.db"

    # --- state that a start needs from earlier ones ---

    @property
    def stores(self) -> Path:
        """The identities of the roots that were served with this catalog."""
        return self.catalog / "stores.json"

    @property
    def epoch(self) -> Path:
        """The time of the last start on this catalog."""
        return self.catalog / "epoch"

    @property
    def jobs(self) -> Path:
        """The last run of each job."""
        return self.catalog / "jobs.json"

    @property
    def zot_imported(self) -> Path:
        """The marker file of the finished import of zot's metadata."""
        return self.catalog / "zot-taken-over"

    @property
    def zot_accounts_settled(self) -> Path:
        """The start of the server in which zot's users were imported or found unreadable."""
        return self.catalog / "zot-accounts-settled"

    # --- run-time files ---

    @property
    def writer_socket(self) -> Path:
        """The socket of the catalog writer."""
        return self.runtime / "writer.sock"

    @property
    def control_socket(self) -> Path:
        """The socket on which the server accepts commands of `zot`."""
        return self.runtime / "control"

    @property
    def locks(self) -> Path:
        """The directory of this machine's locks on what is in object stores."""
        return self.runtime / "locks"

    @property
    def metrics(self) -> Path:
        """The directory in which the processes share their metrics."""
        return self.runtime / "metrics"


def socket_address(path: Path) -> Path:
    """Return a path to the same socket that fits into an address, which has at most 107 bytes.

    A long path is replaced by one through a descriptor of its directory, which stays open until the process ends.
    Raises OSError if the directory does not exist.
    """
    if len(os.fsencode(path)) <= _SOCKET_ADDRESS_LIMIT_BYTES or not Path("/proc/self/fd").is_dir():
        return path
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    return Path(f"/proc/self/fd/{directory}", path.name)
