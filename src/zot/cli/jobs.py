"""`zot jobs`: what the server does in the background."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.store_client import FILE, JSON, ask, moment, show_json, table


@click.command("jobs")
@JSON
@FILE
def command(*, as_json: bool, file: Path | None) -> None:
    """Show the background tasks of the server that runs on the configuration FILE: state, last run and next run.

    Times are in UTC. A task is `running`, `waiting` for its next run, `ready` but outside its time window, or `done`
    until the next start of the server.
    """
    from zot.admin.requests import ListJobs

    states = ask(file, ListJobs())
    if as_json:
        show_json(states)
        return
    rows = []
    for state in states:
        last = state.last
        result = "" if last is None else f"failed: {last.progress}" if last.failed else last.progress
        rows.append(
            (state.task, state.priority, state.state, moment(last and last.started_s), moment(state.next_s), result)
        )
    for line in table(("TASK", "PRIORITY", "STATE", "LAST RUN", "NEXT RUN", "RESULT"), rows):
        click.echo(line)
