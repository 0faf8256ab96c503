"""`zli status`: whether a registry answers, and what it is."""

from typing import Any

import click

from zot.zli.target import target, target_options
from zot.zli.usage import OutputFormat


@click.command()
@target_options
@click.option(
    "-f",
    "--format",
    "form",
    type=OutputFormat(refusal="the given output format is not supported"),
    default="text",
    help="How to print it.",
)
def status(form: str, **given: Any) -> None:
    """Show whether a registry answers, and its version.

    Server Status is `online`; `offline`, when nothing answers there or it is no registry; or `unknown`, when it asks
    for other credentials. The versions are known of registries that have the search extension. The exit status is 0
    whatever the status is.
    """
    import asyncio

    from zot.zli.server_status import rendered, server_status

    click.echo(rendered(asyncio.run(server_status(target(**given))), form))
