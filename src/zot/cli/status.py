"""`zot status`: how the running server is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zot.cli.store_client import FILE, ask_running, moment, show_json, table
from zot.maintenance.units import elapsed, size

if TYPE_CHECKING:
    from zot.admin.events import SinkStatus
    from zot.admin.status import StatusReport, StoreUsage


@click.command("status")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Default: text.")
@FILE
def command(*, form: str, file: Path | None) -> None:
    """Show how the server is that runs on the configuration FILE: what it consists of, holds and does.

    Shows version, processes, stores with the space of their disks, how far the search index and the sinks of events
    are, background tasks with their last results, and until when the certificate is valid. Exit status 1 if no server
    answers, or if something needs attention: a warning says what.
    """
    from zot.admin.requests import AskStatus

    (status,) = ask_running(file, AskStatus())
    if form == "json":
        show_json(status)
    else:
        for line in _lines(status):
            click.echo(line)
    if status.warnings:
        raise SystemExit(1)


def _lines(status: StatusReport) -> Iterator[str]:
    mode = ", read-only" if status.read_only else ""
    config = status.config or "the embedded default"
    yield f"zot {status.version}, up {elapsed(status.now_s - status.started_s)}{mode}"
    yield ""
    rows = [("configuration", config), ("processes", _processes(status))]
    rows += [(f"store {each.route}", _store(each)) for each in status.stores]
    rows.append(("search", _index(status)))
    rows += [(f"events {each.name}", _sink(each)) for each in status.sinks]
    if status.certificate is not None:
        ends_s = status.certificate.ends_s
        left_days = int((ends_s - status.now_s) // 86400)
        rows.append(("certificate", f"valid until {moment(ends_s)}, {left_days} days"))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"{name.ljust(width)}  {text}"
    yield ""
    jobs = []
    for job in status.jobs:
        last = job.last
        result = "" if last is None else f"failed: {last.progress}" if last.failed else last.progress
        jobs.append((job.task, job.state, moment(last.started_s if last is not None else None), result))
    yield from table(("TASK", "STATE", "LAST RUN", "RESULT"), jobs)
    yield ""
    yield from (f"Warning: {each}" for each in status.warnings)
    if not status.warnings:
        yield "healthy"


def _processes(status: StatusReport) -> str:
    def shown(name: str, silent_s: float | None) -> str:
        if silent_s is None:
            return f"{name} (starting)"
        return name if silent_s < 3 else f"{name} (silent for {silent_s:.0f} s)"

    return ", ".join(shown(each.name, each.silent_s) for each in status.processes) or "one for everything"


def _store(store: StoreUsage) -> str:
    held = f"{store.root}: {store.repositories} repositories, {size(store.bytes)}"
    if store.free_bytes is None or store.disk_bytes is None:
        return f"{held}; its disk cannot be asked"
    return f"{held}; {size(store.free_bytes)} of {size(store.disk_bytes)} free"


def _sink(sink: SinkStatus) -> str:
    state = "failing" if sink.problem else "up to date" if not sink.behind else f"{sink.behind} changes behind"
    letters = f", {sink.dead_letters} dead letters" if sink.dead_letters else ""
    return f"{state}, {sink.delivered} events accepted{letters}"


def _index(status: StatusReport) -> str:
    index = status.index
    if index is None:
        return "no index"
    if index.importing:
        return f"layouts are being imported: {index.repositories} repositories are in the index"
    if not index.complete:
        return f"the index is being filled: {index.done} of {index.total} repositories"
    behind = f", {index.behind} changes behind" if index.behind else ""
    return f"{index.repositories} repositories, {index.images} images{behind}"
