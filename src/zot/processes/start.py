"""Starting a server: what it needs is had or refused here, before any process of it runs."""

from __future__ import annotations

import resource
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zot.catalog.interface import CatalogError
from zot.catalog.sqlite.disk_reserve import DiskReserve
from zot.config.errors import ConfigurationError, ConfigWarning
from zot.config.model import Config
from zot.config.resources import worker_count
from zot.config.state_directory import StateDirectory
from zot.config.store_table import StoreTable
from zot.config.watch import Signature
from zot.processes.child import ProcessSpec
from zot.processes.heartbeats import Heartbeats
from zot.processes.listeners import ListenError, is_wildcard, listen, listen_unix
from zot.processes.sd_notify import notify
from zot.processes.stop_schedule import StopSchedule
from zot.processes.tls import TlsError
from zot.server.plan import ServerPlan, new_boot
from zot.server.preflight import preflight, problems, reachable_servers
from zot.server.running_state import RunningState, first_state
from zot.server.store_registry import catalog_is_older, known_stores
from zot.storage.disk import Disk
from zot.storage.identity import StoreIdentity
from zot.storage.interface import StorageError
from zot.storage.lock import lock_root
from zot.storage.owner import other_user


class StartError(Exception):
    """Why the server does not start, in one sentence."""


def start(
    config: Config,
    file: Path | None,
    *,
    workers: int | None,
    read_only: bool,
    overrides: Mapping[str, Any] | None = None,
    seen: Mapping[Path, Signature] | None = None,
) -> int:
    """Serve a checked configuration until a signal says to stop; return the exit status. Raises StartError.

    `overrides` are in the configuration already, and go before the file's keys when that is reloaded; `seen` is what
    the file looked like when it was read.
    The locks on the roots are inherited by every process, and held until the last of them is gone.
    """
    raise_descriptor_limit()
    plan = replace(make_plan(config, file, workers=workers, read_only=read_only), overrides=overrides or {})
    _check(config, plan)
    try:
        state = first_state(config, plan, seen)
        for root in plan.roots:
            lock_root(root, waiting=_say_waiting)
        plan = identified(plan)
        _say_unusable(plan)
        _renew_statistics(plan)
        _say_damaged_accounts(plan)
        count = max(1, plan.workers)
        if plan.unix_socket is not None:
            sockets = [listen_unix(plan.unix_socket)] * count
        else:
            sockets = listen(plan.address, plan.port, count)
            plan = replace(plan, port=sockets[0].getsockname()[1])
    except (StorageError, ListenError, TlsError) as error:
        raise StartError(str(error)) from error
    _empty_metrics(plan)
    if plan.workers:
        plan = _begin_catalog(plan)
    ready = partial(_say_ready, plan, sockets[0].getsockname())
    if plan.workers == 0:
        # Imported here, since a check that fails before needs none of it.
        from zot.processes.single import serve  # noqa: PLC0415
        from zot.server.http_server import CANNOT_SERVE  # noqa: PLC0415

        try:
            return serve(config, plan, state, sockets[0], ready)
        except (CatalogError, *CANNOT_SERVE) as error:
            raise StartError(str(error)) from error
    return _supervise(plan, state, sockets, ready)


def _check(config: Config, plan: ServerPlan) -> None:
    """Print warnings. Raises StartError with every problem that is found."""
    findings = [*preflight(config, plan)]
    if not problems(findings):
        findings += reachable_servers(config)
    for finding in findings:
        if isinstance(finding, ConfigWarning):
            print(f"Warning: {finding}", file=sys.stderr, flush=True)  # noqa: T201
    users = {user: root for root in plan.roots if (user := other_user(root))}
    for user, root in users.items():
        message = f"Warning: {root} belongs to {user}, who cannot use what this server makes there: it runs as root"
        print(message, file=sys.stderr, flush=True)  # noqa: T201
    found = problems(findings)
    if found:
        raise StartError(ConfigurationError(*found).lines(plan.config or "zot serve"))


def _supervise(
    plan: ServerPlan, state: RunningState, sockets: Sequence[socket.socket], ready: Callable[[], None]
) -> int:
    """Import what the children need, once for all of them, and start them."""
    from zot.processes import jobs, supervisor, worker, writer  # noqa: PLC0415 (a single process needs none of them)

    workers = [ProcessSpec(worker_name(slot), worker.run, slot, each) for slot, each in enumerate(sockets)]
    places = [[ProcessSpec("writer", writer.run)], [ProcessSpec("jobs", jobs.run)], workers]
    return supervisor.Supervisor(plan, state, places, ready).run()


def make_plan(config: Config, file: Path | None, *, workers: int | None, read_only: bool) -> ServerPlan:
    """Decide what the server consists of."""
    storage, http = config.storage, config.http
    count = worker_count(http) if workers is None else workers
    stores = StoreTable(storage)
    return ServerPlan(
        config=str(file.absolute()) if file is not None else None,
        boot=new_boot(),
        workers=count,
        address=http.address,
        port=int(http.port or 0),
        unix_socket=http.unix_socket or None,
        state=StateDirectory.of(storage),
        roots=stores.roots,
        stop=StopSchedule(http.drain_timeout_s),
        heartbeats=Heartbeats(["writer", *map(worker_name, range(count))], ["jobs"]) if count else Heartbeats(),
        read_only=read_only or storage.read_only,
        # The catalog is one for all stores: it is as durable as the most durable of them.
        syncs=any(store.config.commit for store in stores),
        tls=bool(http.tls and http.tls.cert),
        log_level=config.log.level,
        log_output=config.log.output,
        log_audit=config.log.audit,
        log_format=config.log.format,
    )


def worker_name(slot: int) -> str:
    """Return the name of the worker with this number."""
    return f"worker-{slot}"


def identified(plan: ServerPlan) -> ServerPlan:
    """Return the plan with the identities of its stores. Raises StorageError."""
    state = plan.state
    try:
        for directory in dict.fromkeys((state.catalog, state.runtime)):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        DiskReserve(state.catalog).release_at_start()
        stores = tuple(known_stores(state, plan.roots).items())
        older_ns = time.time_ns() if catalog_is_older(state, plan.roots) else 0
        return replace(plan, stores=stores, catalog_is_older_than_ns=older_ns)
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}") from error


def _say_unusable(plan: ServerPlan) -> None:
    """Name each root that is not the store that it was: the server starts, and uses it once it is right."""
    for root, expected in plan.stores:
        try:
            StoreIdentity(Disk(), root, expected).check()
        except (StorageError, OSError) as error:
            message = f"zot: {error}. Until then what needs this store is answered with 503."
            print(message, file=sys.stderr, flush=True)  # noqa: T201


def _begin_catalog(plan: ServerPlan) -> ServerPlan:
    """Make the catalog, or open the one that is there, for all processes of this start. Raises StartError."""
    # Imported here, since a check that fails before needs none of it.
    from zot.catalog.sqlite.recovery import begin  # noqa: PLC0415
    from zot.processes.logs import open_logs  # noqa: PLC0415

    try:
        with open_logs(plan):
            return replace(plan, catalog_boot=begin(plan.state.catalog, plan.boot, syncs=plan.syncs))
    except CatalogError as error:
        raise StartError(str(error)) from error


def _renew_statistics(plan: ServerPlan) -> None:
    """Begin statistics anew if their file is damaged: they are not worth a server that does not start."""
    # Imported here: the library takes longer than what is checked before.
    from zot.accounts.sqlite_file import set_aside_if_damaged  # noqa: PLC0415

    path = plan.state.statistics_database
    try:
        kept = set_aside_if_damaged(path)
    except OSError as error:
        raise StorageError(f"{path} is damaged, and cannot be set aside: {error.strerror}") from error
    if kept is not None:
        message = f"zot: {path} is damaged: it is kept as {kept}, and counts of pulls begin anew"
        print(message, file=sys.stderr, flush=True)  # noqa: T201


def _say_damaged_accounts(plan: ServerPlan) -> None:
    """Name a damaged file of accounts: nothing but a backup has them, so it stays, and logins that need it fail."""
    from zot.accounts.sqlite import REMEDY  # noqa: PLC0415
    from zot.accounts.sqlite_file import is_damaged  # noqa: PLC0415

    path = plan.state.accounts_database
    if is_damaged(path):
        message = f"zot: {path} is damaged: {REMEDY}. Until then logins are answered with 503."
        print(message, file=sys.stderr, flush=True)  # noqa: T201


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # macOS refuses what it says is its limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say_waiting(why: str) -> None:
    """Tell people why nothing happens yet: a rolling update has the next server wait for the last one to drain."""
    sys.stderr.write(f"waiting until it ends: {why}\n")
    sys.stderr.flush()


def _say_ready(plan: ServerPlan, where: object) -> None:
    """Tell the init system that requests are answered, and people where, and how to push a first image."""
    notify("READY=1")
    scheme = "https" if plan.tls else "http"
    if isinstance(where, tuple):
        host = f"[{where[0]}]" if ":" in where[0] else where[0]
        place = f"{'localhost' if is_wildcard(where[0]) or where[0] in {'127.0.0.1', '::1'} else host}:{where[1]}"
        shown = f"{scheme}://{place}, on all addresses," if is_wildcard(where[0]) else f"{scheme}://{host}:{where[1]}"
    else:
        place, shown = "localhost", f"unix:{plan.unix_socket}"
    lines = [f"zot serves {shown} from {plan.roots[0]}"]
    if plan.config is None:
        lines += first_push(place)
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


def first_push(place: str) -> list[str]:
    """Return lines that tell how to push a first image, by the first client that is installed."""
    image = f"{place}/busybox"
    by_client = {
        "docker": ["docker pull busybox", f"docker tag busybox {image}", f"docker push {image}"],
        "podman": [
            "podman pull docker.io/library/busybox",
            f"podman push --tls-verify=false docker.io/library/busybox {image}",
        ],
        "skopeo": [f"skopeo copy --dest-tls-verify=false docker://docker.io/library/busybox docker://{image}"],
        "crane": [f"crane copy busybox {image}"],
        "regctl": [f"regctl registry set --tls disabled {place}", f"regctl image copy busybox {image}"],
        "oras": [f"oras copy --to-plain-http docker.io/library/busybox:latest {image}:latest"],
    }
    for client, lines in by_client.items():
        if shutil.which(client):
            return ["Push a first image:", *(f"  {line}" for line in lines)]
    return [
        "Push a first image with docker, podman, skopeo, crane, regctl or oras, none of which is installed here. Try:",
        f"  curl http://{place}/v2/_catalog",
    ]


def _empty_metrics(plan: ServerPlan) -> None:
    """Forget what the processes of the last start counted, before any of this one counts."""
    from zot.api.metrics.registry import empty  # noqa: PLC0415 (brings the metrics library)

    empty(plan.state.metrics)
