"""Reading a configuration on behalf of a command."""

from __future__ import annotations

from pathlib import Path

import click

from zot.auth.cel import condition
from zot.config.errors import ConfigurationError
from zot.config.load import load
from zot.config.model import Config
from zot.config.supported import refuse_unbuilt
from zot.features import BUILT


def checked(file: Path | None) -> Config:
    """Return the configuration of a file (None: the embedded default), its warnings said.

    One that the server would refuse is a ClickException, which ends the command with status 1.
    """
    if file is None:
        return Config.default()
    try:
        loaded = load(file, condition)
        refuse_unbuilt(loaded.config, BUILT)
    except ConfigurationError as error:
        raise click.ClickException(refusal(error, file)) from error
    for warning in loaded.warnings:
        click.echo(f"Warning: {warning}", err=True)
    return loaded.config


def refusal(error: ValueError, file: Path) -> str:
    """Return why a configuration is refused: a line for each problem, which begins with the file and the key."""
    return error.lines(str(file)) if isinstance(error, ConfigurationError) else f"{file}: {error}"
