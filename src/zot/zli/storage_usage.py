"""`zli usage`: the bytes that repositories and tags use."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from zot.zli.query_command import limit_option, query_options, run

if TYPE_CHECKING:
    from zot.zli.client import RegistryClient
    from zot.zli.output import QueryOutput


@click.command("usage")
@query_options
@limit_option
@click.argument("repository", required=False, default="")
def usage(repository: str, limit: int | None, **given: Any) -> None:
    """Show the bytes that repositories, or the tags of REPOSITORY, use.

    UNIQUE is what no other repository, or no other tag of the repository, needs: deleting a tag frees it. UNTAGGED is
    what no tag needs. Needs a registry of this kind, with the search extension: zot does not tell.
    """
    run(partial(_of_tags if repository else _of_repositories, repository, limit), **given)


async def _of_repositories(_: str, limit: int | None, client: "RegistryClient", output: "QueryOutput") -> None:
    from zot.zli.registry_api import RepositoryUsageRecord, rows
    from zot.zli.tables import size_text

    await output.records(
        rows(client, "usage", {}, "repositories", RepositoryUsageRecord, limit),
        ("REPOSITORY", "SIZE", "UNIQUE", "SHARED", "UNTAGGED"),
        lambda each: (
            each.repository,
            *map(size_text, (each.bytes, each.unique_bytes, each.shared_bytes, each.untagged_bytes)),
        ),
    )


async def _of_tags(repository: str, limit: int | None, client: "RegistryClient", output: "QueryOutput") -> None:
    from zot.zli.registry_api import TagUsageRecord, rows
    from zot.zli.tables import size_text

    await output.records(
        rows(client, "usage", {"repo": repository}, "tags", TagUsageRecord, limit),
        ("TAG", "SIZE", "UNIQUE"),
        lambda each: (each.tag, size_text(each.bytes), size_text(each.unique_bytes)),
    )
