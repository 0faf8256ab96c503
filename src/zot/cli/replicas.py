"""`zot replicas`: the servers that share the store of a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.store_client import FILE, ask_running, moment, show_json, table


@click.command("replicas")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Default: text.")
@FILE
def command(*, form: str, file: Path | None) -> None:
    """List the servers that share the store of the configuration FILE, as the one of this machine sees them.

    Shows host and address, version, since when each runs, when it was last heard of, the leases of background work that
    it holds, and how many changes its search index is behind. A server that was killed is listed for an hour. Exit
    status 1 if no server answers on this machine.
    """
    from zot.admin.requests import AskStatus

    (status,) = ask_running(file, AskStatus())
    if form == "json":
        show_json(status.replicas)
        return
    rows = [
        (
            f"{replica.host} {replica.address}",
            replica.version,
            moment(replica.started_s),
            f"{seen.silent_s:.0f} s ago",
            ", ".join(replica.leases),
            "" if replica.behind is None else str(replica.behind),
        )
        for seen in status.replicas
        for replica in (seen.replica,)
    ]
    for line in table(("REPLICA", "VERSION", "SINCE", "HEARD", "LEASES", "INDEX BEHIND"), rows):
        click.echo(line)
