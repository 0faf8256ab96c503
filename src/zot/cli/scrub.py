"""`zot scrub`: verify everything stored."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.store_client import FILE, JSON, ask, show_json, table


@click.command("scrub")
@JSON
@FILE
def command(*, as_json: bool, file: Path | None) -> None:
    """Verify all content in the store of the configuration FILE, and quarantine what is damaged.

    A running server does it, at a rate that leaves requests enough of the disk; without one, this command does, at full
    speed. A damaged blob is moved to `.zot/quarantine` below its root and no longer served; an intact copy in another
    repository replaces it. Exit status 1 if damage remains.
    """
    from zot.admin.requests import ScrubStores
    from zot.maintenance import scrub

    rows = ask(file, ScrubStores())
    if as_json:
        show_json(rows)
    else:
        for line in table(("REPOSITORY", "TAG", "STATUS", "AFFECTED BLOB", "ERROR"), scrub.table(rows)):
            click.echo(line)
    if not all(each.ok for each in rows):
        raise SystemExit(1)
