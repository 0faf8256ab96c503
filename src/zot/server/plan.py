"""What a server consists of: decided once by its start, and handed to each of its processes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zot.api.probe_times import ProbeTimes
from zot.catalog.command import new_id
from zot.config.driver_options import S3
from zot.config.model import Config
from zot.config.resources import worker_count
from zot.config.state_directory import StateDirectory
from zot.config.store_table import StoreTable
from zot.foundation.shared_marks import SharedMarks
from zot.server.heartbeats import Heartbeats
from zot.server.stop_schedule import StopSchedule
from zot.storage.synced_directories import SyncedDirectories


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """One start of the server, or of a command that opens the store without one."""

    config: str | None
    """The configuration file; None: the embedded default."""
    owner: str
    """The id of this start: the catalog keeps a lease for it (`zot.catalog.owner_commands`)."""
    workers: int
    """HTTP workers; 0: everything in one process."""
    address: str
    port: int
    """The configured one; once there is a socket, the one that it has."""
    unix_socket: str | None
    state: StateDirectory
    roots: tuple[str, ...]
    """The directories that this server locks: the main store's, and every root of its stores."""
    stop: StopSchedule
    unready_s: float = 5.0
    """How long to go on accepting once /readyz says no, so that a load balancer stops sending clients here."""
    started_s: float = field(default_factory=time.time, compare=False)
    """When it started, in seconds since the epoch."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Keys that options of the command line put in the place of the configuration's."""
    probed: ProbeTimes = field(default_factory=ProbeTimes, compare=False)
    heartbeats: Heartbeats = field(default_factory=Heartbeats, compare=False)
    """Of the processes below the supervisor; a single process has none."""
    synced_directories: SyncedDirectories = field(default_factory=SyncedDirectories, compare=False)
    compared: SharedMarks = field(default_factory=SharedMarks, compare=False)
    """Repositories that a process has compared with their layouts."""
    object_stores: Mapping[str, S3] = field(default_factory=dict)
    """The object stores that have content, by their roots."""
    main_root: str = ""
    """The root of the main store's content: one of `roots`, or of `object_stores`."""
    stores: tuple[tuple[str, str], ...] = ()
    """The roots and the identities that they must have."""
    catalog_boot: str = ""
    """The boot that the catalog holds since this start; a catalog with another one is not written to."""
    catalog_is_older_than_ns: int = 0
    """When this server started, if its catalog is older than its stores (restored from a backup); else 0."""
    memory: bool = False
    """Whether nothing is kept on a disk: catalog, content, accounts and statistics end with the process."""
    catalog_driver: Mapping[str, Any] | None = None
    """`storage.cacheDriver`, if the catalog is kept in a database server; None: it is embedded."""
    shares_content: bool = False
    """Whether content is in an object store, which other servers may use at the same time: no lock excludes them."""
    read_only: bool = False
    syncs: bool = True
    """Whether what is acknowledged is on the disk (`storage.commit`)."""
    tls: bool = False
    log_level: str = "debug"
    log_output: str = ""
    log_audit: str = ""
    log_format: str | None = None


def make_plan(config: Config, file: Path | None, *, workers: int | None, read_only: bool) -> ServerPlan:
    """Return what the configuration says that the server consists of; `workers` None: as configured."""
    storage, http = config.storage, config.http
    stores = StoreTable(storage)
    return ServerPlan(
        config=str(file.absolute()) if file is not None else None,
        owner=new_id(),
        workers=worker_count(http) if workers is None else workers,
        address=http.address,
        port=int(http.port or 0),
        unix_socket=http.unix_socket or None,
        state=StateDirectory.of(storage),
        roots=stores.directories,
        object_stores=stores.object_stores,
        main_root=next(iter(stores)).root,
        stop=StopSchedule(http.drain_timeout_s),
        shares_content=any(store.config.storage_driver is not None for store in stores),
        catalog_driver=storage.cache_driver if storage.remote_cache else None,
        read_only=read_only or storage.read_only,
        # The catalog is one for all stores: it is as durable as the most durable of them.
        syncs=any(store.config.commit for store in stores),
        tls=bool(http.tls and http.tls.cert),
        log_level=config.log.level,
        log_output=config.log.output,
        log_audit=config.log.audit,
        log_format=config.log.format,
    )
