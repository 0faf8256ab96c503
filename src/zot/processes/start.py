"""Starts a server: what it needs is acquired here, or the start refused, before any of its processes runs."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zot.catalog.command import new_id
from zot.catalog.interface import CatalogError
from zot.config.errors import ConfigurationError, ConfigWarning
from zot.config.model import Config
from zot.config.watch import Signature
from zot.foundation.imports import uncollected
from zot.processes.child import LEASE_ENDED_STATUS, ProcessSpec
from zot.processes.listeners import ListenError, is_wildcard, listen, listen_unix
from zot.processes.sd_notify import notify
from zot.server.extensions import EXTENSIONS
from zot.server.heartbeats import Heartbeats
from zot.server.plan import ServerPlan, make_plan
from zot.server.preflight import preflight, problems, reachable_servers
from zot.server.running_state import RunningState, first_state
from zot.server.tls import TlsError
from zot.storage.interface import StorageError
from zot.storage.lock import locked_roots
from zot.storage.owner import other_user

# Where OpenSSL looks for the authorities of the system.
_AUTHORITIES = "SSL_CERT_FILE"


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

    `overrides` are in the configuration already, and take precedence when its file is reloaded. `seen` has the
    signatures that the files had when they were read.
    The locks on the roots are inherited by every process, and held until the last of them is gone.
    """
    raise_descriptor_limit()
    plan = replace(make_plan(config, file, workers=workers, read_only=read_only), overrides=overrides or {})
    _check(config, plan)
    try:
        state = first_state(config, plan, seen)
        with locked_roots(plan.roots, waiting=_show_waiting):
            plan, sockets = _listen(plan)
            # Imported here: a check that fails before needs none of it, and a client that comes now waits in the queue.
            with uncollected():
                from zot.server.store import prepare_store  # noqa: PLC0415

            return _serve(config, prepare_store(plan, _show), state, sockets)
    except (StorageError, CatalogError, ListenError, TlsError) as error:
        raise StartError(str(error)) from error


def _serve(config: Config, plan: ServerPlan, state: RunningState, sockets: Sequence[socket.socket]) -> int:
    """Serve a claimed store on listening sockets. Raises ListenError, CatalogError, StartError."""
    _empty_metrics(config, plan)
    ready = partial(_show_ready, plan, sockets[0].getsockname())
    if plan.workers:
        return _supervise(plan, state, sockets, ready)
    # Imported here, since several processes need none of it.
    with uncollected():
        import_aiohttp()
        from zot.processes.single import serve  # noqa: PLC0415
        from zot.server.http_server import CANNOT_SERVE  # noqa: PLC0415

    try:
        while (status := serve(config, plan, state, sockets[0], ready)) == LEASE_ENDED_STATUS:
            plan, sockets = _as_new_owner(plan, sockets)
    except CANNOT_SERVE as error:
        raise StartError(str(error)) from error
    return status


def _listen(plan: ServerPlan) -> tuple[ServerPlan, Sequence[socket.socket]]:
    """Listen on the plan's address; return the plan with the port, and a socket for each worker. Raises ListenError."""
    count = max(1, plan.workers)
    if plan.unix_socket is not None:
        return plan, [listen_unix(plan.unix_socket)] * count
    sockets = listen(plan.address, plan.port, count)
    return replace(plan, port=sockets[0].getsockname()[1]), sockets


def _as_new_owner(plan: ServerPlan, sockets: Sequence[socket.socket]) -> tuple[ServerPlan, Sequence[socket.socket]]:
    """Return the plan of a new owner, and sockets in place of those that the last one shut down. Raises ListenError."""
    for each in sockets:
        each.close()
    return _listen(replace(plan, owner=new_id(), stop=plan.stop.again()))


def _check(config: Config, plan: ServerPlan) -> None:
    """Print warnings. Raises StartError with every problem that is found."""
    findings = [*preflight(config, plan)]
    if not problems(findings):
        findings += reachable_servers(config, plan)
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


def import_aiohttp() -> None:
    """Import aiohttp without the file of the system's authorities, whose loading is a fifth of a start.

    It loads that twice, for its client. The only client in a server has its own authorities (`zot.auth.fetch`).
    """
    given = os.environ.get(_AUTHORITIES)
    os.environ[_AUTHORITIES] = os.devnull
    try:
        import aiohttp  # noqa: F401, PLC0415
    finally:
        if given is None:
            del os.environ[_AUTHORITIES]
        else:
            os.environ[_AUTHORITIES] = given


def _supervise(
    plan: ServerPlan, state: RunningState, sockets: Sequence[socket.socket], ready: Callable[[], None]
) -> int:
    """Import what the children need, once for all of them, and start them."""
    with uncollected():
        import_aiohttp()
        from zot.processes import roles, supervisor  # noqa: PLC0415 (a single process needs none of them)
        from zot.server.drivers import catalog_engine  # noqa: PLC0415
        from zot.server.store import begin_catalog  # noqa: PLC0415

    def arrange() -> tuple[ServerPlan, supervisor.Groups]:
        writers = [ProcessSpec("writer", roles.write_catalog)] if catalog_engine(plan).needs_writer else []
        jobs = [ProcessSpec("jobs", roles.work_in_background, late=True)]
        workers = [
            ProcessSpec(f"worker-{slot}", roles.answer_requests, slot, each) for slot, each in enumerate(sockets)
        ]
        needed = [each.name for each in (*writers, *workers)]
        begun = replace(begin_catalog(plan), heartbeats=Heartbeats(needed, [each.name for each in jobs]))
        # A group stops when those that need it are gone.
        return begun, [group for group in (writers, jobs, workers) if group]

    def renew() -> tuple[ServerPlan, supervisor.Groups]:
        nonlocal plan, sockets
        plan, sockets = _as_new_owner(plan, sockets)
        return arrange()

    begun, groups = arrange()
    return supervisor.Supervisor(begun, state, groups, ready, renew).run()


def raise_descriptor_limit() -> None:
    """Raise the limit of open files to what this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # macOS refuses what it says is its limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _show_waiting(why: str) -> None:
    """Show why nothing happens yet: in a rolling update the next server waits for the last one to drain."""
    sys.stderr.write(f"waiting until it ends: {why}\n")
    sys.stderr.flush()


def _show(notice: str) -> None:
    sys.stderr.write(f"zot: {notice}\n")
    sys.stderr.flush()


def _show_ready(plan: ServerPlan, where: object) -> None:
    """Notify the init system that requests are answered; show the address, and how to push a first image."""
    notify("READY=1")
    scheme = "https" if plan.tls else "http"
    if isinstance(where, tuple):
        host = f"[{where[0]}]" if ":" in where[0] else where[0]
        host_port = f"{'localhost' if is_wildcard(where[0]) or where[0] in {'127.0.0.1', '::1'} else host}:{where[1]}"
        shown = (
            f"{scheme}://{host_port}, on all addresses," if is_wildcard(where[0]) else f"{scheme}://{host}:{where[1]}"
        )
    else:
        host_port, shown = "localhost", f"unix:{plan.unix_socket}"
    lines = [f"zot serves {shown} from {plan.roots[0]}"]
    if plan.config is None:
        lines += first_push(host_port)
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


def first_push(host_port: str) -> list[str]:
    """Return the lines that push a first image with the first client that is installed."""
    image = f"{host_port}/busybox"
    by_client = {
        "docker": ["docker pull busybox", f"docker tag busybox {image}", f"docker push {image}"],
        "podman": [
            "podman pull docker.io/library/busybox",
            f"podman push --tls-verify=false docker.io/library/busybox {image}",
        ],
        "skopeo": [f"skopeo copy --dest-tls-verify=false docker://docker.io/library/busybox docker://{image}"],
        "crane": [f"crane copy busybox {image}"],
        "regctl": [f"regctl registry set --tls disabled {host_port}", f"regctl image copy busybox {image}"],
        "oras": [f"oras copy --to-plain-http docker.io/library/busybox:latest {image}:latest"],
    }
    for client, lines in by_client.items():
        if shutil.which(client):
            return ["Push a first image:", *(f"  {line}" for line in lines)]
    return [
        "Push a first image with docker, podman, skopeo, crane, regctl or oras, none of which is installed here. Try:",
        f"  curl http://{host_port}/v2/_catalog",
    ]


def _empty_metrics(config: Config, plan: ServerPlan) -> None:
    """Remove the metrics of the last start, before a process of this one records any."""
    if not any(each.records(config) for each in EXTENSIONS):
        return
    from zot.api.metrics.registry import empty  # noqa: PLC0415 (brings the metrics library)

    empty(plan.state.metrics)
