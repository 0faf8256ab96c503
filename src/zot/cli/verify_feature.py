"""`zot verify-feature`: what a configuration would do, without doing it."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.asking import ask, table
from zot.cli.asking import retention as retention_of


@click.group("verify-feature")
def command() -> None:
    """Show what a feature of a configuration would do, and change nothing."""


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-l", "--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the decisions there.")
@click.option("-i", "--gc-interval", help="Accepted for zot's sake: all decisions are made at once.")
@click.option("-t", "--timeout", help="Accepted for zot's sake.")
def retention(file: Path, log_file: Path | None, gc_interval: str | None, timeout: str | None) -> None:
    """Show what the retention policies of the configuration FILE decide about every tag of its store, and why.

    A server may run on it, by this configuration or another. Exit status 0 whatever the decisions are.
    """
    from zot.upkeep.requests import Explain

    del gc_interval, timeout
    rows = [
        (each.repository, each.tag, "keep" if each.keep else "delete", each.reason, each.digest)
        for found in ask(file, Explain(retention=retention_of(file)))
        for each in found.tags
    ]
    lines = list(table(("REPOSITORY", "TAG", "DECISION", "REASON", "DIGEST"), rows))
    text = "\n".join([*lines, "retention check completed successfully"]) + "\n"
    if log_file is not None:
        log_file.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)
