"""`zot schema`: the configuration's JSON schema."""

from __future__ import annotations

import json

import click

from zot.config.schema import schema


@click.command("schema")
def command() -> None:
    """Print the JSON schema (draft-07) of configuration files, for editors and for checks in a pipeline."""
    click.echo(json.dumps(schema(), indent=2))
