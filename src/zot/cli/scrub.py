"""`zot scrub`: verify everything stored."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.store_client import FILE, JSON, ask, show_json, table


@click.command("scrub")
@JSON
@FILE
def command(*, as_json: bool, file: Path | None) -> None:
    """Read everything in the store of the configuration FILE again, and set aside what is damaged.

    By the server, if one runs on it, at a rate that leaves requests the disk; or else here, as fast as it goes. A
    damaged blob is moved to `.zot/quarantine` below its root and served to nobody; another repository's copy takes its
    place if one is whole. Exit status 1 if something is damaged and could not be healed.
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
