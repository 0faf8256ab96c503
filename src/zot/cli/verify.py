"""`zot verify`: check whether the server would start with a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.configuration import checked, refusal
from zot.config.errors import ConfigurationError, ConfigWarning
from zot.config.model import Config


@click.command("verify")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--store", is_flag=True, help="Also check the content of the store.")
def command(file: Path, *, store: bool) -> None:
    """Check the configuration FILE, and what a server would open with it. Changes nothing.

    Files, directories and the address are checked as this user, and Redis is contacted. Prints warnings, and each
    problem with its key and what would be right; problems of the file's content hide those of the environment. Exit
    status 1 if the server would refuse to start. `--store` also warns of repositories in which retention would leave
    no tag, and of content from other programs that the registry cannot read or does not serve by its name. A server
    may be running on the store.
    """
    _check_start(file, checked(file))
    if store:
        _warn_of_emptied(file)
        _warn_of_findings(file)
    click.echo(f"{file}: config file is valid")


def _check_start(file: Path, config: Config) -> None:
    from zot.processes.listeners import check_address
    from zot.server.plan import make_plan
    from zot.server.preflight import preflight, problems, reachable_servers

    plan = make_plan(config, file, workers=None, read_only=False)
    findings = [*preflight(config, plan), *check_address(plan), *reachable_servers(config, plan)]
    for finding in findings:
        if isinstance(finding, ConfigWarning):
            click.echo(f"Warning: {finding}", err=True)
    found = problems(findings)
    if found:
        raise click.ClickException(refusal(ConfigurationError(*found), file))


def _warn_of_emptied(file: Path) -> None:
    from zot.admin.requests import PreviewCollection
    from zot.cli.store_client import ask, retention

    for found in ask(file, PreviewCollection(retention=retention(file))):
        if found.tags and not any(decision.keep for decision in found.tags):
            click.echo(
                f"Warning: storage.retention: every tag of {found.repository} ({len(found.tags)}) would be deleted: "
                f"{found.tags[0].reason}",
                err=True,
            )


def _warn_of_findings(file: Path) -> None:
    from zot.admin.requests import Findings
    from zot.cli.store_client import ask

    for found in ask(file, Findings()):
        where = f"{found.repository}: {found.what}" if found.repository else found.what
        kept = "; its repository is not collected until it is deleted or readable" if found.keeps_all else ""
        click.echo(f"Warning: {where}: {found.why}{kept}", err=True)
