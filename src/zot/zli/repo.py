"""`zli repo`: the repositories of a registry."""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from zot.zli.query_command import REPO_SORT, defaults_of_group, kept, limit_option, query_options, run, sort_option
from zot.zli.usage import SuggestingGroup

if TYPE_CHECKING:
    from zot.zli.client import RegistryClient
    from zot.zli.output import QueryOutput


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@query_options
@click.pass_context
def repo(context: click.Context, /, **given: Any) -> None:
    """List repositories.

    The options of all commands may stand before the command.
    """
    defaults_of_group(context, given)


@repo.command("list")
@query_options
@sort_option(REPO_SORT, "alpha-asc")
@limit_option
def list_(sort_by: str, limit: int | None, **given: Any) -> None:
    """List the names of all repositories. Works with any registry that has a catalog."""
    run(partial(_list, sort_by, limit), **given)


async def _list(sort_by: str, limit: int | None, client: "RegistryClient", output: "QueryOutput") -> None:
    from zot.zli.distribution import repositories

    names = repositories(client)
    if sort_by == "alpha-dsc":
        names = _reversed(names)
    if output.is_text:
        # What went wrong is an error without a header before it.
        first: list[str] = await anext(names, [])
        click.echo("\nREPOSITORY NAME")
        for name in first[:limit]:
            click.echo(name)
        limit = None if limit is None else limit - len(first)
    if limit is not None and limit <= 0:
        return
    async for page in kept(names, lambda _: True, limit):
        for name in page:
            if output.is_text:
                click.echo(name)
            else:
                output.document({"name": name})


async def _reversed(pages: AsyncIterator[list[str]]) -> AsyncIterator[list[str]]:
    yield [name async for page in pages for name in page][::-1]
