"""`zot restore`: a store from its backup."""

from __future__ import annotations

import os
from pathlib import Path

import click

from zot.cli.configuration import checked
from zot.cli.store_client import FILE


@click.command("restore")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@FILE
def command(directory: Path, file: Path | None) -> None:
    """Restore the backup in DIRECTORY to the store of the configuration FILE, which must be empty.

    No server may be running on the store. The first start afterwards writes the `index.json` of each repository. If
    root runs it, the restored files get the owner of the store's directory, or of the backup if there was no directory.
    """
    from zot.admin.backup_files import BackupDirectory
    from zot.admin.restore import restore
    from zot.server.drivers import catalog_engine
    from zot.server.plan import make_plan
    from zot.storage.lock import locked_roots
    from zot.storage.owner import give, owner_of

    plan = make_plan(checked(file), file, workers=0, read_only=False)
    BackupDirectory(str(directory.absolute())).manifest()  # before a root is made
    places = [*plan.roots, str(plan.state.catalog)]
    owners = {place: owner_of(place) or owner_of(plan.roots[0]) or owner_of(str(directory)) for place in places}
    mark_restored = catalog_engine(plan).mark_restored
    with locked_roots(plan.roots, wait_s=0):
        for line in restore(str(directory.absolute()), plan.roots, str(plan.state.catalog), mark_restored):
            click.echo(line)
        for place, owner in owners.items():
            if os.geteuid() == 0 and owner is not None:
                give(place, owner)
