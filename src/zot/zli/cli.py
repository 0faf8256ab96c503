"""The command line of `zli`."""

import json
import platform
import sys

import click

from zot import __version__
from zot.zli.completion import completion
from zot.zli.config import config
from zot.zli.status import status


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        version = {"distribution-spec": "1.1.1", "version": __version__, "python": platform.python_version()}
        click.echo(json.dumps({"level": "info", **version, "message": "version"}))
        context.exit()


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-v",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Ask a registry from the command line.

    Queries of images, repositories and vulnerabilities come with the search extension.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


cli.add_command(config)
cli.add_command(status)
cli.add_command(completion)


def main() -> None:
    """Run the command line. Exit status 0: done; 1: failed, with the error on standard error; 2: wrong usage."""
    try:
        cli(prog_name="zli")
    except BrokenPipeError:  # the pager was closed
        sys.exit(1)
