"""The command line of `zli`."""

import sys

import click

from zot.zli.completion import completion
from zot.zli.config import config
from zot.zli.cve import cve
from zot.zli.diff import diff
from zot.zli.explain import explain
from zot.zli.history import history, restore
from zot.zli.image import image
from zot.zli.repo import repo
from zot.zli.search import search
from zot.zli.status import status
from zot.zli.storage_usage import usage
from zot.zli.usage import RootGroup


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        import json
        import platform

        from zot import __version__

        version = {"distribution-spec": "1.1.1", "version": __version__, "python": platform.python_version()}
        click.echo(json.dumps({"level": "info", **version, "message": "version"}))
        context.exit()


@click.group(cls=RootGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
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
    """Ask a registry from the command line: this one, zot, or any that speaks the distribution API.

    Vulnerabilities and searches need the search extension.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (completion, config, cve, diff, explain, history, image, repo, restore, search, status, usage):
    cli.add_command(_command)


def main() -> None:
    """Run the command line.

    Exit status 0: done; 1: failed, with the error on standard error; 3: vulnerabilities as bad as --fail-on.
    """
    try:
        cli(prog_name="zli")
    except BrokenPipeError:  # the pager was closed
        sys.exit(1)
