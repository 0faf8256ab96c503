"""`zot events`: events that sinks did not accept, and sending events again."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.command_group import CommandGroup
from zot.cli.store_client import FILE, JSON, ask, moment, show_json, table

_SINK = click.option("--sink", metavar="NAME", help="Only this sink, by its name in `zot status`.")
_LAST = 2**63 - 1
"""The greatest number of a dead letter, and of an entry of the change log."""


@click.group("events", cls=CommandGroup)
def command() -> None:
    """Show events that sinks did not accept, and send events again."""


@command.command("list")
@_SINK
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, help="The most rows. Default: 1000.")
@JSON
@FILE
def list_letters(*, sink: str | None, limit: int, as_json: bool, file: Path | None) -> None:
    """List the dead letters of the configuration FILE: events that a sink did not accept, oldest first."""
    from zot.admin.requests import ListDeadLetters

    letters = ask(file, ListDeadLetters(sink=sink, limit=limit))
    if as_json:
        show_json(letters)
        return
    rows = []
    for each in letters:
        image = f"{each.repository}:{each.reference}" if each.reference else each.repository
        state = "sent again soon" if each.due else each.reason
        rows.append((each.id, each.sink, moment(each.at_s), each.type, image, each.attempts, state))
    for line in table(("ID", "SINK", "TIME", "TYPE", "IMAGE", "ATTEMPTS", "REASON"), rows):
        click.echo(line)


@command.command("replay")
@_SINK
@click.option("--id", "letter", type=click.IntRange(1, _LAST), help="Only this dead letter.")
@click.option(
    "--since", type=click.IntRange(0, _LAST), metavar="SEQUENCE", help="All events after this entry of the log."
)
@JSON
@FILE
def replay(*, sink: str | None, letter: int | None, since: int | None, as_json: bool, file: Path | None) -> None:
    """Send the dead letters of the configuration FILE again, or all events since an entry of the change log.

    The running server sends them within a second, or the next one once it starts. A sink may get events that it has
    accepted before: their ids are the same.
    """
    from zot.admin.requests import ReplayEvents

    if letter is not None and since is not None:
        raise click.UsageError("--id and --since exclude each other")
    replays = ask(file, ReplayEvents(sink=sink, letter=letter, since=since))
    if as_json:
        show_json(replays)
        return
    for each in replays:
        click.echo(f"{each.sink}: {each.what} will be sent again")
    if not replays:
        click.echo("no sink has dead letters")
