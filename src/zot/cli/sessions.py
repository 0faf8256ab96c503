"""`zot sessions`: who is logged in with a browser, and ending that."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import click

from zot.accounts.sessions.session import Sessions
from zot.cli.users import stores_of

FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group("sessions")
def command() -> None:
    """Sessions of browsers, by the configuration FILE, also beside a running server."""


@command.command("list")
@FILE
def list_sessions(file: Path) -> None:
    """List sessions: what each is called, the user, how and since when they are logged in, their groups."""

    async def run() -> None:
        async with stores_of(file) as stores:
            async for listed in Sessions(stores.sessions).all():
                session = listed.session
                since = dt.datetime.fromtimestamp(session.created_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                way = session.provider or session.method
                click.echo(f"{listed.fingerprint}\t{session.user}\t{way}\t{since}\t{','.join(session.groups)}")

    asyncio.run(run())


@command.command()
@click.option("--user", default="", help="End all sessions of this user.")
@click.option("--session", default="", metavar="NAME", help="End the session that the list calls so.")
@FILE
def revoke(user: str, session: str, file: Path) -> None:
    """End sessions: their cookies are worth nothing from the next request on."""
    if not (user or session):
        raise click.UsageError("say --user or --session")

    async def run() -> None:
        async with stores_of(file) as stores:
            ended = await Sessions(stores.sessions).revoke(user=user, fingerprint=session)
            click.echo(f"{ended} sessions ended")

    asyncio.run(run())
