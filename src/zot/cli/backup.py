"""`zot backup`: copy everything that cannot be rebuilt, while serving."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.store_client import FILE, ask


@click.command("backup")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@FILE
def command(directory: Path, file: Path | None) -> None:
    """Back up the store of the configuration FILE to DIRECTORY, which may have an earlier backup of it.

    The server may run. On the same file system content is shared by hard links, which costs no room and saves from
    mistakes, but not from the loss of the disk.
    """
    from zot.admin.requests import CreateBackup

    lines = ask(file, CreateBackup(directory=str(directory.absolute())))
    click.echo(lines[-1])
