"""What the commands that query a registry have in common: options, and how their work runs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zot.zli.target import target, target_options
from zot.zli.usage import OutputFormat, SortOption

if TYPE_CHECKING:
    from zot.zli.client import RegistryClient
    from zot.zli.output import QueryOutput
    from zot.zli.queries import SchemaQuery

Command = TypeVar("Command", bound=Callable[..., Any])
Item = TypeVar("Item")

IMAGE_SORT = SortOption(update_time="UPDATE_TIME", alpha_asc="ALPHABETIC_ASC", alpha_dsc="ALPHABETIC_DSC")
SEARCH_SORT = SortOption(
    relevance="RELEVANCE", update_time="UPDATE_TIME", alpha_asc="ALPHABETIC_ASC", alpha_dsc="ALPHABETIC_DSC"
)
CVE_SORT = SortOption(alpha_asc="ALPHABETIC_ASC", alpha_dsc="ALPHABETIC_DSC", severity="SEVERITY")
REPO_SORT = SortOption(alpha_asc="ALPHABETIC_ASC", alpha_dsc="ALPHABETIC_DSC")

limit_option = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show at most N.")


def sort_option(criterion: SortOption, default: str | None) -> Callable[[Command], Command]:
    """Return the option --sort-by."""
    return click.option(
        "--sort-by", type=criterion, default=default, show_default=default is not None, help="How to sort."
    )


def query_options(command: Command) -> Command:
    """Give a command, or a group for its commands, the options of a query."""
    for option in (
        click.option("--debug", is_flag=True, help="Show the requests, on standard error."),
        click.option("--verbose", is_flag=True, help="Show more."),
        click.option("-f", "--format", "form", type=OutputFormat("jsonl"), default="text", help="How to print it."),
    ):
        command = option(command)
    return target_options(command)


def defaults_of_group(context: click.Context, given: dict[str, Any]) -> None:
    """Make the options before the name of a command the defaults of that command's own; without one, print help."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    group = context.command
    assert isinstance(group, click.Group)
    chosen = {name: value for name, value in given.items() if value not in {None, False}}
    context.default_map = dict.fromkeys(group.list_commands(context), chosen)


def run(
    work: Callable[["RegistryClient", "QueryOutput"], Awaitable[None]],
    *,
    form: str = "text",
    verbose: bool = False,
    debug: bool = False,
    **given: Any,
) -> None:
    """Run the work of a command with a client of the registry that its options name. Raises ClickException."""
    asked = target(**given, debug=debug)

    async def connected() -> None:
        from zot.zli.client import NoResponseError, RegistryClient
        from zot.zli.output import QueryOutput

        async with RegistryClient(asked) as client:
            try:
                await work(client, QueryOutput(form, verbose))
            except NoResponseError as error:
                raise click.ClickException(str(error)) from error

    import asyncio

    asyncio.run(connected())


async def kept(
    pages: AsyncIterator[list[Item]], keep: Callable[[Item], bool], limit: int | None
) -> AsyncIterator[list[Item]]:
    """Yield of the pages what is to be kept, at most `limit`."""
    count = 0
    async for page in pages:
        items = [item for item in page if keep(item)]
        if limit is not None:
            items = items[: limit - count]
        yield items
        count += len(items)
        if count == limit:
            return


async def print_images_of(
    query: "SchemaQuery",
    texts: dict[str, str],
    criterion: str | None,
    limit: int | None,
    client: "RegistryClient",
    output: "QueryOutput",
) -> None:
    """Print the images that a query finds; `texts` has its arguments."""
    from zot.zli.queries import literal
    from zot.zli.records import ImageRecord
    from zot.zli.search_client import pages

    given = {name: literal(text) for name, text in texts.items()}
    await output.images(pages(client, query, given, {"Results": ImageRecord}, criterion=criterion, limit=limit))
