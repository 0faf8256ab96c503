"""`zot sessions`: who is logged in with a browser, and ending that."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import click

from zot.accounts.sessions.session import Sessions
from zot.cli.command_group import CommandGroup
from zot.cli.store_client import JSON, show_json
from zot.cli.users import stores_of

FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group("sessions", cls=CommandGroup)
def command() -> None:
    """List and end browser sessions in the store of the configuration FILE. A server may be running on it."""


@command.command("list")
@JSON
@FILE
def list_sessions(*, as_json: bool, file: Path) -> None:
    """List sessions: name, user, authentication method, time of login and groups."""

    async def run() -> list[dict[str, Any]]:
        async with stores_of(file) as stores:
            return [
                {
                    "name": listed.fingerprint,
                    "user": listed.session.user,
                    "method": listed.session.provider or listed.session.method,
                    "created_s": listed.session.created_s,
                    "groups": listed.session.groups,
                }
                async for listed in Sessions(stores.sessions).all()
            ]

    found = asyncio.run(run())
    if as_json:
        show_json(found)
        return
    for each in found:
        since = dt.datetime.fromtimestamp(each["created_s"], dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        click.echo(f"{each['name']}\t{each['user']}\t{each['method']}\t{since}\t{','.join(each['groups'])}")


@command.command()
@click.option("--user", default="", help="End all sessions of this user; with --session, that one.")
@click.option("--session", default="", metavar="NAME", help="End the session with this name in the list.")
@FILE
def revoke(user: str, session: str, file: Path) -> None:
    """End sessions. The next request with one of their cookies is refused."""
    if not (user or session):
        raise click.UsageError("give --user or --session")

    async def run() -> None:
        async with stores_of(file) as stores:
            ended = await Sessions(stores.sessions).revoke(user=user, fingerprint=session)
            if session and not ended:
                raise click.ClickException(f"there is no session {session}")
            click.echo(f"{ended} sessions ended")

    asyncio.run(run())
