"""How a running server is: for `zot status`, and for administrators in pages."""

from __future__ import annotations

import msgspec

from zot.admin.events import SinkStatus
from zot.maintenance.scheduler import TaskState
from zot.replicas.interface import SeenReplica


class ProcessStatus(msgspec.Struct, frozen=True):
    """A process of the server."""

    name: str
    silent_s: float | None
    """Seconds since it last responded; None: it has not responded yet."""


class StoreUsage(msgspec.Struct, frozen=True):
    """What a store holds, and the space of its disk, in bytes."""

    route: str
    """`/` for the main store."""
    root: str
    repositories: int
    bytes: int
    """Of its repositories together: what several of them share counts for each."""
    free_bytes: int | None
    """None: the disk cannot be asked."""
    disk_bytes: int | None


class IndexProgress(msgspec.Struct, frozen=True):
    """How far the search index is."""

    complete: bool
    """It has everything but the latest changes; if not, it is being filled."""
    importing: bool
    """The catalog does not have all layouts of the store yet, which a first start imports."""
    done: int
    """Repositories that are in it, while it is being filled."""
    total: int
    behind: int
    """Changes of the catalog that it does not have yet."""
    repositories: int
    images: int


class CertificateTimes(msgspec.Struct, frozen=True):
    """When the certificate of the server is valid, in seconds since the epoch."""

    file: str
    begins_s: float
    ends_s: float


class StatusReport(msgspec.Struct, frozen=True):
    """The state of a running server. It needs attention if there is any warning."""

    version: str
    started_s: float
    """When it started, in seconds since the epoch."""
    now_s: float
    read_only: bool
    config: str
    """Its configuration file; empty: the embedded default."""
    processes: list[ProcessStatus]
    stores: list[StoreUsage]
    index: IndexProgress | None
    """None: search is off, or the index cannot be read, of which there is a warning."""
    jobs: list[TaskState]
    certificate: CertificateTimes | None
    """None: it serves plain HTTP, or the certificate cannot be read, of which there is a warning."""
    replicas: list[SeenReplica]
    """The servers that share the store, itself included; without a shared catalog there is no other."""
    sinks: list[SinkStatus]
    """The receivers of events."""
    warnings: list[str]
    """What needs attention, a sentence each."""
