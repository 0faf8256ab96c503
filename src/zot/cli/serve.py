"""`zot serve`: run the registry."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.configuration import checked
from zot.config.watch import signatures
from zot.foundation.imports import uncollected


@click.command("serve")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--address", help="Address to listen on, in place of http.address.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on, in place of http.port.")
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the content, in place of storage.rootDirectory.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    help="Number of processes that serve requests; 0: everything in one process.",
)
@click.option("--read-only", is_flag=True, help="Refuse every push and delete.")
@click.option(
    "--force-reparse", is_flag=True, help="Accepted for compatibility with zot: every start looks for changes."
)
def command(
    file: Path | None,
    *,
    address: str | None,
    port: int | None,
    root: Path | None,
    workers: int | None,
    read_only: bool,
    force_reparse: bool,
) -> None:
    """Serve a registry by the configuration FILE; without one, on 127.0.0.1:8080 with its data in ./zot-data.

    Runs until SIGTERM, SIGINT or SIGHUP, then finishes the requests in progress and writes every layout that is not in
    sync with the catalog.
    """
    del force_reparse
    overrides = _overrides(address, port, root)
    # Before the file is read, so that a later change of it is reloaded.
    seen = signatures([] if file is None else [file.absolute()])
    with uncollected():
        config = checked(file, overrides)
        from zot.processes.start import StartError, start

    try:
        status = start(config, file, workers=workers, read_only=read_only, overrides=overrides, seen=seen)
    except StartError as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(status)


def _overrides(address: str | None, port: int | None, root: Path | None) -> dict[str, dict[str, str]]:
    """Return the configuration keys that the options set."""
    http = {"address": address, "port": None if port is None else str(port)}
    storage = {"rootDirectory": None if root is None else str(root)}
    given = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in (("http", http), ("storage", storage))
    }
    return {section: values for section, values in given.items() if values}
