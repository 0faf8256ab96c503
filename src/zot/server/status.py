"""Tells how a running server is, in the process that works in the background."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime

from zot import __version__
from zot.admin.events import EventDeliveries, EventsError, SinkStatus
from zot.admin.space import DiskSpace, stores_usage
from zot.admin.status import CertificateTimes, IndexProgress, ProcessStatus, StatusReport
from zot.catalog.interface import CatalogError
from zot.config.model import Config
from zot.extensions.search.interface import Search, SearchUnavailableError
from zot.maintenance.scheduler import TaskState
from zot.replicas.interface import ReplicasUnavailableError, SeenReplica
from zot.server.heartbeats import UNRESPONSIVE_S, Heartbeats
from zot.server.store import Store
from zot.server.tls import Pem, TlsError, TlsFiles, certificate_times, validity_warning
from zot.storage.build import space_warnings
from zot.storage.disk import Disk
from zot.storage.interface import StorageError

_EXPIRES_SOON_S = 14 * 86400


def disk_space(store: Store) -> DiskSpace:
    """Return what asks the disks of a store's roots, off the event loop."""

    async def ask(root: str) -> tuple[int, int] | None:
        try:
            return await store.pools.read.run(Disk().free_bytes, root)
        except OSError:
            return None

    return ask


async def server_status(
    config: Config, store: Store, jobs: list[TaskState], search: Search | None, events: EventDeliveries | None
) -> StatusReport:
    """Return how the server is; what cannot be asked is a warning. Raises CatalogError if the catalog cannot be read.

    `jobs` are the states of its tasks, `search` and `events` are None where they are off.
    """
    processes = processes_of(store.plan.heartbeats)
    index, certificate, warnings = None, None, [each async for each in _warnings(config, store)]
    warnings += [f"the process {each.name} does not respond" for each in processes if _is_silent(each)]
    warnings += [
        f"the job {each.task} failed: {each.last.progress}"
        for each in jobs
        if each.last is not None and each.last.failed
    ]
    if search is not None:
        try:
            index = await index_progress(search)
        except SearchUnavailableError as error:
            warnings.append(f"the search index cannot be read: {error}")
    sinks: list[SinkStatus] = []
    if events is not None:
        try:
            sinks = await events.status()
        except EventsError as error:
            warnings.append(str(error))
        warnings += [each for sink in sinks for each in _sink_warnings(sink)]
    files = TlsFiles.of(config.http)
    if files is not None:
        try:
            pem = await store.pools.read.run(files.read)
        except TlsError as error:
            warnings.append(str(error))
        else:
            certificate = _certificate(files, pem)
            warnings += _certificate_warnings(pem, certificate)
    replicas: Sequence[SeenReplica] = ()
    try:
        replicas = await store.replicas.all()
    except ReplicasUnavailableError as error:
        warnings.append(str(error))
    plan = store.plan
    return StatusReport(
        version=__version__,
        started_s=plan.started_s,
        now_s=time.time(),
        read_only=store.read_only,
        config=plan.config or "",
        processes=processes,
        stores=await stores_usage(store.catalog, config.storage, disk_space(store)),
        index=index,
        jobs=jobs,
        sinks=sinks,
        certificate=certificate,
        replicas=list(replicas),
        warnings=warnings,
    )


def processes_of(heartbeats: Heartbeats) -> list[ProcessStatus]:
    """Return the processes below the supervisor, and how long they have been silent; a single process has none."""
    now_s = time.monotonic()
    found = []
    for name in heartbeats.names:
        last_s = heartbeats.last_s(name)
        found.append(ProcessStatus(name, None if last_s == -math.inf else max(0.0, now_s - last_s)))
    return found


async def index_progress(search: Search) -> IndexProgress:
    """Return how far the search index is. Raises SearchUnavailableError."""
    found = await search.status()
    return IndexProgress(
        complete=found.complete,
        importing=found.importing,
        done=found.done,
        total=found.total,
        behind=found.behind,
        repositories=found.repositories,
        images=found.images,
    )


def _sink_warnings(sink: SinkStatus) -> Iterator[str]:
    """Yield what is wrong with a receiver of events."""
    if sink.failing_since_s is not None and sink.problem:
        since = f"{datetime.fromtimestamp(sink.failing_since_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
        yield f"{sink.name} has accepted no events since {since}: {sink.problem}"
    if sink.dead_letters:
        yield f"{sink.name} did not accept {sink.dead_letters} events: `zot events list` shows them"


def _is_silent(process: ProcessStatus) -> bool:
    return process.silent_s is None or process.silent_s > UNRESPONSIVE_S


async def _warnings(config: Config, store: Store) -> AsyncIterator[str]:
    """Yield what is wrong with the store."""
    try:
        await store.storage.ready()
    except StorageError as error:
        yield f"the storage cannot be used: {error}"
    try:
        await store.catalog.ready()
    except CatalogError as error:
        yield f"the catalog cannot be used: {error}"
    for warning in await store.pools.read.run(lambda: list(space_warnings(config.storage))):
        yield warning
    if store.logs.dropped:
        yield f"{store.logs.dropped} lines of the log were lost: its disk did not keep up"


def _certificate(files: TlsFiles, pem: Pem) -> CertificateTimes | None:
    times = certificate_times(pem)
    return None if times is None else CertificateTimes(str(files.cert), *(each.timestamp() for each in times))


def _certificate_warnings(pem: Pem, times: CertificateTimes | None) -> list[str]:
    warning = validity_warning(pem)
    if warning:
        return [warning]
    if times is not None and times.ends_s - time.time() < _EXPIRES_SOON_S:
        return [f"the certificate expires at {datetime.fromtimestamp(times.ends_s, UTC):%Y-%m-%d %H:%M} UTC"]
    return []
