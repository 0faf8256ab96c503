"""Starting a server: what it needs is had or refused here, before any process of it runs."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from zot.catalog.interface import CatalogError
from zot.config.capacity import worker_count
from zot.config.errors import ConfigurationError
from zot.config.model import Config
from zot.logs.writer import open_log
from zot.processes.child import Place
from zot.processes.listeners import CannotListen, listen, listen_unix
from zot.processes.notify import notify
from zot.processes.plan import Plan, new_boot
from zot.processes.stores import catalog_is_older, known_stores
from zot.processes.tls import CannotServeTls, Certificates
from zot.storage.disk import Disk
from zot.storage.identity import Identity
from zot.storage.interface import StorageError
from zot.storage.lock import lock_root


class CannotStart(Exception):
    """Why the server does not start, in one sentence."""


def start(config: Config, file: Path | None, *, workers: int | None, read_only: bool) -> int:
    """Serve a checked configuration until a signal says to stop; return the exit status. Raises CannotStart.

    The locks on the roots are inherited by every process, and held until the last of them is gone.
    """
    raise_descriptor_limit()
    plan = make_plan(config, file, workers=workers, read_only=read_only)
    _check_tls(config)
    _check_users(config)
    _check_logs(config)
    try:
        for root in plan.roots:
            lock_root(root, waiting=_say_waiting)
        plan = identified(plan)
        _say_unusable(plan)
        _check_own_files(plan)
        _renew_statistics(plan)
        count = max(1, plan.workers)
        if plan.unix_socket is not None:
            sockets = [listen_unix(plan.unix_socket)] * count
        else:
            sockets = listen(plan.address, plan.port, count)
            plan = replace(plan, port=sockets[0].getsockname()[1])
    except (StorageError, CannotListen) as error:
        raise CannotStart(str(error)) from error
    _empty_metrics(plan)
    if plan.workers:
        plan = _begin_catalog(plan)
    ready = partial(_say_ready, plan, sockets[0].getsockname())
    if plan.workers == 0:
        # Imported here, since a check that fails before needs none of it.
        from zot.processes.answering import CANNOT_SERVE  # noqa: PLC0415
        from zot.processes.single import serve  # noqa: PLC0415

        try:
            return serve(config, plan, sockets[0], ready)
        except (CatalogError, *CANNOT_SERVE) as error:
            raise CannotStart(str(error)) from error
    return _supervise(plan, sockets, ready)


def _supervise(plan: Plan, sockets: Sequence[socket.socket], ready: Callable[[], None]) -> int:
    """Import what the children need, once for all of them, and start them."""
    from zot.processes import jobs, supervisor, worker, writer  # noqa: PLC0415 (a single process needs none of them)

    workers = [Place(f"worker-{slot}", worker.run, slot, each) for slot, each in enumerate(sockets)]
    places = [[Place("writer", writer.run)], [Place("jobs", jobs.run)], workers]
    return supervisor.Supervisor(plan, places, ready).run()


def make_plan(config: Config, file: Path | None, *, workers: int | None, read_only: bool) -> Plan:
    """Decide what the server consists of."""
    storage, http = config.storage, config.http
    root = _absolute(storage.root_directory)
    catalog = _absolute(storage.catalog.directory) if storage.catalog.directory else f"{root}/.zot"
    roots = dict.fromkeys([root, *(_absolute(each.root_directory) for each in storage.sub_paths.values())])
    return Plan(
        config=str(file.absolute()) if file is not None else None,
        boot=new_boot(),
        workers=worker_count(http) if workers is None else workers,
        address=http.address,
        port=int(http.port or 0),
        unix_socket=http.unix_socket or None,
        catalog_directory=catalog,
        roots=tuple(roots),
        drain_s=http.drain_timeout_s,
        read_only=read_only or storage.read_only,
        # The catalog is one for all stores: it is as durable as the most durable of them.
        syncs=any(store.commit for store in (storage, *storage.sub_paths.values())),
        tls=bool(http.tls and http.tls.cert),
        log_level=config.log.level,
        log_output=config.log.output,
        log_audit=config.log.audit,
        log_format=config.log.format,
    )


def identified(plan: Plan) -> Plan:
    """Return the plan with the identities of its stores. Raises StorageError."""
    directory = Path(plan.catalog_directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        stores = tuple(known_stores(directory, plan.roots).items())
        older_ns = time.time_ns() if catalog_is_older(directory, plan.roots) else 0
        return replace(plan, stores=stores, catalog_is_older_than_ns=older_ns)
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}") from error


def _say_unusable(plan: Plan) -> None:
    """Name each root that is not the store that it was: the server starts, and uses it once it is right."""
    for root, expected in plan.stores:
        try:
            Identity(Disk(), root, expected).check()
        except (StorageError, OSError) as error:
            message = f"zot: {error}. Until then what needs this store is answered with 503."
            print(message, file=sys.stderr, flush=True)  # noqa: T201


def _check_own_files(plan: Plan) -> None:
    """Raise StorageError if something else lies where a file of the server has to be."""
    # Imported here, as every process that is to come needs them.
    from zot.accounts.build import IDENTITY_FILE  # noqa: PLC0415
    from zot.accounts.statistics_sqlite import ACTIVITY_FILE  # noqa: PLC0415
    from zot.catalog.sqlite.place import DATABASE  # noqa: PLC0415
    from zot.processes import control  # noqa: PLC0415

    directory = Path(plan.catalog_directory)
    for name in (ACTIVITY_FILE, IDENTITY_FILE, DATABASE, control.NAME):
        if (directory / name).is_dir():
            raise StorageError(f"{directory / name} is a directory, and in the way of a file of this server: move it")
    metrics = Path(plan.metrics_directory)
    if metrics.exists() and not metrics.is_dir():
        raise StorageError(f"{metrics} is a file, and in the way of a directory of this server: move it")


def _begin_catalog(plan: Plan) -> Plan:
    """Make the catalog, or open the one that is there, for all processes of this start. Raises CannotStart."""
    # Imported here, since a check that fails before needs none of it.
    from zot.catalog.sqlite.opening import begin  # noqa: PLC0415
    from zot.processes.logs import open_logs  # noqa: PLC0415

    try:
        with open_logs(plan):
            return replace(plan, catalog_boot=begin(Path(plan.catalog_directory), plan.boot, syncs=plan.syncs))
    except CatalogError as error:
        raise CannotStart(str(error)) from error


def _renew_statistics(plan: Plan) -> None:
    """Begin statistics anew if their file is damaged: they are not worth a server that does not start."""
    # Imported here: the library takes longer than what is checked before.
    from zot.accounts.sqlite_file import set_aside_if_damaged  # noqa: PLC0415
    from zot.accounts.statistics_sqlite import ACTIVITY_FILE  # noqa: PLC0415

    path = Path(plan.catalog_directory, ACTIVITY_FILE)
    try:
        kept = set_aside_if_damaged(path)
    except OSError as error:
        raise StorageError(f"{path} is damaged, and cannot be set aside: {error.strerror}") from error
    if kept is not None:
        message = f"zot: {path} is damaged: it is kept as {kept}, and counts of pulls begin anew"
        print(message, file=sys.stderr, flush=True)  # noqa: T201


def _absolute(path: str) -> str:
    """Return the path from the root; symlinks in it stay, since they may be swapped on purpose."""
    return str(Path(path).absolute())


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


def _say_ready(plan: Plan, where: object) -> None:
    """Tell the init system that requests are answered, and people where, and how to push a first image."""
    notify("READY=1")
    scheme = "https" if plan.tls else "http"
    if isinstance(where, tuple):
        host = "localhost" if where[0] in {"127.0.0.1", "0.0.0.0", "::", "::1"} else where[0]  # noqa: S104
        place = f"{host}:{where[1]}"
        shown = f"{scheme}://{f'[{where[0]}]' if ':' in where[0] else where[0]}:{where[1]}"
    else:
        place, shown = "localhost", f"unix:{plan.unix_socket}"
    lines = [f"zot serves {shown} from {plan.roots[0]}"]
    if plan.config is None:
        lines += [
            "Push a first image:",
            "  docker pull busybox",
            f"  docker tag busybox {place}/busybox",
            f"  docker push {place}/busybox",
        ]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


def _empty_metrics(plan: Plan) -> None:
    """Forget what the processes of the last start counted, before any of this one counts."""
    from zot.api.metrics_registry import empty  # noqa: PLC0415 (brings the metrics library)

    empty(Path(plan.metrics_directory))


def _check_tls(config: Config) -> None:
    tls = config.http.tls
    if tls is None or not tls.cert:
        return
    try:
        Certificates(Path(tls.cert), Path(tls.key), Path(tls.cacert) if tls.cacert else None)
    except CannotServeTls as error:
        raise CannotStart(str(error)) from error


def _check_users(config: Config) -> None:
    """Refuse a start without the files of users and keys, as zot does; bad lines are the workers' to report."""
    auth = config.http.auth
    if not (auth.has_htpasswd or auth.has_token_bearer):
        return
    # Imported here: the libraries of hashes are needed where there are users alone.
    from zot.auth.check import check_files  # noqa: PLC0415

    try:
        check_files(auth)
    except ConfigurationError as error:
        raise CannotStart(str(error)) from error


def _check_logs(config: Config) -> None:
    for key, path in (("log.output", config.log.output), ("log.audit", config.log.audit)):
        if path:
            try:
                os.close(open_log(Path(path)))
            except OSError as error:
                raise CannotStart(f"{key} {path!r}: {error.strerror}") from error
