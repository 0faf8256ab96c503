"""Asking the store of a configuration on behalf of a command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from zot.admin.requests import AdminRequest, Noted, Progress
from zot.cli.configuration import checked
from zot.oci.digest import InvalidDigestError
from zot.oci.names import InvalidNameError, InvalidTagError, Repository, Tag, parse_repository, parse_tag

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
"""For commands that print a table. Keys are added in later versions, never renamed; bytes and times are numbers."""

FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)


def ask(file: Path | None, request: AdminRequest[Any]) -> list[Any]:
    """Return the rows that answer a request, whether or not a server runs on the store.

    Progress and notes go to standard error. Raises Failed if it cannot be done.
    """
    from zot.server.admin import answers

    notes: list[str] = []

    async def run() -> list[Any]:
        rows = []
        async with aclosing(answers(checked(file), file, request)) as found:
            async for row in found:
                match row:
                    case Progress():
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


def retention(file: Path | None) -> dict[str, Any]:
    """Return the retention of each store that collects, by its route, as a configuration has it.

    The server may have another.
    """
    from zot.config.store_table import StoreTable

    stores = StoreTable(checked(file).storage)
    return {
        each.route: each.config.retention.model_dump(mode="json", by_alias=True) for each in stores if each.config.gc
    }


def _show(text: str) -> None:
    """Say how far it is, in place, to somebody who watches."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text[:200]}", nl=False, err=True)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table, its columns as wide as they need to be."""
    cells = [list(heads), *([str(each) for each in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def show_json(value: object) -> None:
    """Print a value as JSON; rows are objects."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def repository_and_tag(text: str) -> tuple[Repository, Tag | None]:
    """Return what `REPO[:TAG]` names. Raises BadParameter."""
    name, colon, tag = text.partition(":")
    try:
        return parse_repository(name), parse_tag(tag) if colon else None
    except (InvalidNameError, InvalidTagError, InvalidDigestError) as error:
        raise click.BadParameter(str(error)) from error


def moment(seconds: float | None) -> str:
    """Return a time in UTC as text, `-` for none."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds is not None else "-"
