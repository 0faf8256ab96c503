"""What a server consists of: decided once by `zot serve`, and handed to each of its processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from zot.api.health import ProbeTimes
from zot.config.state_directory import StateDirectory
from zot.processes.heartbeats import Heartbeats
from zot.processes.stop_schedule import StopSchedule


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """One start of the server."""

    config: str | None
    """The configuration file; None: the embedded default."""
    boot: str
    workers: int
    """HTTP workers; 0: everything in one process."""
    address: str
    port: int
    """The one asked for; once there is a socket, the one that it has."""
    unix_socket: str | None
    state: StateDirectory
    roots: tuple[str, ...]
    """The directories that this server locks: every root of its stores, and the catalog's."""
    stop: StopSchedule
    unready_s: float = 5.0
    """How long to go on accepting once /readyz says no, so that a load balancer that asks it sends nobody any more."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Keys that options of the command line put in the place of the configuration's."""
    probed: ProbeTimes = field(default_factory=ProbeTimes, compare=False)
    heartbeats: Heartbeats = field(default_factory=Heartbeats, compare=False)
    """Of the processes below the supervisor; a single process has none."""
    stores: tuple[tuple[str, str], ...] = ()
    """The roots and the identities that they have to have."""
    catalog_boot: str = ""
    """What the catalog was left holding by this start: another one is not written to."""
    catalog_is_older_than_ns: int = 0
    """When this server started, if its catalog is older than its stores (restored from a backup); else 0."""
    read_only: bool = False
    syncs: bool = True
    """Whether what is acknowledged is on the disk (`storage.commit`)."""
    tls: bool = False
    log_level: str = "debug"
    log_output: str = ""
    log_audit: str = ""
    log_format: str | None = None


def new_boot() -> str:
    """Return the name of a new start of the server."""
    return uuid4().hex
