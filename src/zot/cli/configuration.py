"""Load and check the configuration of a command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zot.auth.cel import compile_condition
from zot.config.errors import ConfigurationError
from zot.config.load import load, load_tree
from zot.config.model import DEFAULT_TREE, Config
from zot.config.supported import refuse_unbuilt
from zot.server.extensions import BUILT


def checked(file: Path | None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Load a configuration file (None: the embedded default), and print its warnings.

    `overrides` take precedence over the file's keys. Raises ClickException, which ends the command with status 1, for a
    configuration that the server would reject.
    """
    if file is None and not overrides:
        return Config.default()
    try:
        if file is None:
            loaded = load_tree(DEFAULT_TREE, compile_condition, overrides=overrides)
        else:
            loaded = load(file, compile_condition, overrides=overrides)
        refuse_unbuilt(loaded.config, BUILT)
    except ConfigurationError as error:
        raise click.ClickException(refusal(error, file)) from error
    for warning in loaded.warnings:
        click.echo(f"Warning: {warning}", err=True)
    return loaded.config


def refusal(error: ValueError, file: Path | None) -> str:
    """Return one line for each problem of a configuration, beginning with the file and the key."""
    return error.lines(str(file or "options")) if isinstance(error, ConfigurationError) else f"{file}: {error}"
