"""`zot`: finds the command and runs it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from zot import __version__
from zot.cli.command_group import CommandGroup
from zot.cli.errors import sentence
from zot.foundation.imports import uncollected

COMMANDS = {
    "serve": "zot.cli.serve",
    "verify": "zot.cli.verify",
    "schema": "zot.cli.schema",
    "config": "zot.cli.config",
    "explain": "zot.cli.explain",
    "account": "zot.cli.account",
    "sessions": "zot.cli.sessions",
    "gc": "zot.cli.gc",
    "scrub": "zot.cli.scrub",
    "tag": "zot.cli.tag",
    "jobs": "zot.cli.jobs",
    "replicas": "zot.cli.replicas",
    "events": "zot.cli.events",
    "status": "zot.cli.status",
    "usage": "zot.cli.usage",
    "backup": "zot.cli.backup",
    "restore": "zot.cli.restore",
    "verify-feature": "zot.cli.verify_feature",
    "completion": "zot.cli.completion",
}


class Commands(CommandGroup):
    """Imports the module of the command that runs, and no other, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command `command` of its module."""
        del ctx
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        with uncollected():
            command = import_module(module).command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; print a failure with an outside cause as one sentence, without a traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            text = sentence(error)
            if text is None:
                raise
            raise click.ClickException(text) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-v", "--version", message="zot %(version)s, distribution-spec 1.1.1")
def cli() -> None:
    """An OCI image registry."""


def main() -> None:
    """Run the command line. Exit status 0: done; 1: failed, with the error on standard error; 2: wrong usage."""
    try:
        cli(prog_name="zot")
    except BrokenPipeError:  # the pager was closed
        sys.exit(1)
