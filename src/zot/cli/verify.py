"""`zot verify`: is this configuration one that the server would start with."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.configuration import checked


@click.command("verify")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def command(file: Path) -> None:
    """Check the configuration FILE without opening its storage.

    Prints warnings, and every problem of the first kind that is found with its key and what would be right.
    Exit status 1 if the server would refuse it.
    """
    checked(file)
    click.echo(f"{file}: config file is valid")
