"""`zot config`: print a configuration with its defaults, or for the Go program."""

from __future__ import annotations

import json
from pathlib import Path

import click

from zot.cli.configuration import checked, refusal
from zot.config.errors import ConfigurationError
from zot.config.for_zot import for_zot
from zot.config.masking import masked


@click.command("config")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--for-zot", "back", is_flag=True, help="Print the file without the keys that the Go program rejects.")
def command(file: Path, *, back: bool) -> None:
    """Print the configuration FILE as the server reads it, with defaults filled in and secrets masked."""
    if not back:
        click.echo(json.dumps(masked(checked(file)), indent=2))
        return
    try:
        result = for_zot(file)
    except ConfigurationError as error:
        raise click.ClickException(refusal(error, file)) from error
    for line in result.lost:
        click.echo(f"Lost: {line}", err=True)
    click.echo(result.text, nl=False)
