"""Runs the administrative requests of commands, in the running server or in this process."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from zot.admin.requests import AdminError, AdminRequest, Noted, OperationProgress
from zot.cli.configuration import checked
from zot.oci.digest import InvalidDigestError
from zot.oci.names import InvalidNameError, InvalidTagError, Repository, Tag, parse_repository, parse_tag

# A server that starts or stops may hold the lock this long before it answers, or after.
_STARTING_S = 5.0
_POLL_S = 0.2
_ANSWER_S = 30.0
"""How long a running server may take to say how it is."""

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
"""For commands that print a table. Keys are added in later versions, never renamed; bytes and times are numbers."""

FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)


def ask(file: Path | None, request: AdminRequest[Any]) -> list[Any]:
    """Run an administrative request and return its rows, whether or not a server runs on the store.

    Prints progress and notes to standard error. Raises AdminError if the request fails.
    """
    notes: list[str] = []

    async def run() -> list[Any]:
        rows = []
        async with aclosing(_answers(file, request)) as found:
            async for row in found:
                match row:
                    case OperationProgress():
                        _show(row.text)
                    case Noted():
                        notes.append(row.text)
                    case _:
                        rows.append(row)
        return rows

    try:
        return asyncio.run(run())
    finally:
        _show("")
        for note in notes:
            click.echo(f"Warning: {note}", err=True)


def ask_running(file: Path | None, request: AdminRequest[Any]) -> list[Any]:
    """Ask the server that runs on the store of a configuration, and return the rows of its answer.

    Raises ClickException if none answers within `_ANSWER_S`, AdminError if the request fails.
    """
    from zot.admin.asking import NotAnsweredError, ask_for_rows
    from zot.config.state_directory import StateDirectory
    from zot.processes.control import ask_server

    state = StateDirectory.of(checked(file).storage)
    try:
        return asyncio.run(ask_for_rows(partial(ask_server, state), request, limit_s=_ANSWER_S))
    except NotAnsweredError as error:
        why = error.__cause__
        raise click.ClickException(str(why if isinstance(why, ConnectionError) else error)) from error


async def _answers(file: Path | None, request: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
    """Yield the rows of a request, run by the server of the store or by this process.

    Without a server the store is locked during the request, and its layouts are in sync afterwards. Creates no store.
    Raises AdminError.
    """
    from zot.processes.control import ask_server
    from zot.server.admin import open_operations
    from zot.server.drivers import catalog_engine
    from zot.server.plan import make_plan
    from zot.server.store_registry import require_store
    from zot.storage.interface import StorageError
    from zot.storage.lock import RootInUseError

    config = checked(file)
    plan = make_plan(config, file, workers=0, read_only=False)
    try:
        require_store(plan.state, catalog_engine(plan), plan.roots)
    except StorageError as error:
        raise AdminError(str(error)) from error
    deadline_s = time.monotonic() + _STARTING_S
    while True:
        try:
            async with aclosing(ask_server(plan.state, request)) as rows:
                async for row in rows:
                    yield row
        except ConnectionError:
            pass
        else:
            return
        notices: list[str] = []
        try:
            async with open_operations(config, plan, notices.append) as alone, aclosing(alone.answer(request)) as rows:
                for notice in notices:
                    yield Noted(notice)
                async for row in rows:
                    yield row
        except RootInUseError as error:
            # A server is starting or stopping.
            if time.monotonic() > deadline_s:
                raise AdminError(f"{error}, which does not answer on its control socket") from error
            await asyncio.sleep(_POLL_S)
        else:
            return


def retention(file: Path | None) -> dict[str, Any]:
    """Return the configured retention of each store that collects garbage, by route.

    A running server may still have another.
    """
    from zot.config.store_table import StoreTable

    stores = StoreTable(checked(file).storage)
    return {
        each.route: each.config.retention.model_dump(mode="json", by_alias=True) for each in stores if each.config.gc
    }


def _show(text: str) -> None:
    """Print progress over the previous one, if standard error is a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text[:200]}", nl=False, err=True)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table, with columns as wide as their longest cell."""
    cells = [list(heads), *([str(each) for each in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def show_json(value: object) -> None:
    """Print a value as JSON; rows are objects."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def repository_and_tag(text: str) -> tuple[Repository, Tag | None]:
    """Parse `REPO[:TAG]`. Raises BadParameter."""
    name, colon, tag = text.partition(":")
    try:
        return parse_repository(name), parse_tag(tag) if colon else None
    except (InvalidNameError, InvalidTagError, InvalidDigestError) as error:
        raise click.BadParameter(str(error)) from error


def moment(seconds: float | None) -> str:
    """Return a time, in seconds since the epoch, as text in UTC; `-` for None."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds is not None else "-"
