"""`zot backup`: back up everything that cannot be rebuilt, while the server runs."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.store_client import FILE, ask


@click.command("backup")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@FILE
def command(directory: Path, file: Path | None) -> None:
    """Back up the store of the configuration FILE to DIRECTORY, which may hold an earlier backup of it.

    A server may be running on the store. On the same file system content is shared by hard links: such a backup takes
    no extra space and protects from mistakes, but not from the loss of the disk.
    """
    from zot.admin.requests import CreateBackup

    lines = ask(file, CreateBackup(directory=str(directory.absolute())))
    click.echo(lines[-1])
