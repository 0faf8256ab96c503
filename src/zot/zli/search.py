"""`zli search`: repositories, images and referrers by what is known of them."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from zot.zli.image_reference import ImageArgument, check_image
from zot.zli.query_command import (
    IMAGE_SORT,
    SEARCH_SORT,
    defaults_of_group,
    limit_option,
    print_images_of,
    query_options,
    run,
    sort_option,
)
from zot.zli.usage import SuggestingGroup

if TYPE_CHECKING:
    from zot.zli.client import RegistryClient
    from zot.zli.output import QueryOutput
    from zot.zli.records import ReferrerRecord


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@query_options
@click.pass_context
def search(context: click.Context, /, **given: Any) -> None:
    """Search repositories, images and referrers.

    The options of all commands may stand before the command.
    """
    defaults_of_group(context, given)


@search.command("query")
@query_options
@sort_option(SEARCH_SORT, "relevance")
@limit_option
@click.argument("text", metavar="REPO|REPO:TAG")
def query(text: str, sort_by: str, limit: int | None, **given: Any) -> None:
    """Search repositories by part of their name, or images by repository and the beginning of a tag.

    `:TAG` searches images of all repositories by part of their tag, `sha256:DIGEST` by part of a digest; `:` lists
    all images.
    """
    from zot.zli.queries import IMAGE_LIST

    criterion = SEARCH_SORT.criteria[sort_by]
    if text == ":":
        run(partial(print_images_of, IMAGE_LIST, {"repo": ""}, criterion, limit), **given)
    else:
        run(partial(_query, text, criterion, limit), **given)


@search.command("subject")
@query_options
@sort_option(IMAGE_SORT, "alpha-asc")
@limit_option
@click.argument("image", metavar="REPO:TAG|REPO@DIGEST", callback=check_image)
def subject(image: str, sort_by: str, limit: int | None, **given: Any) -> None:
    """List the referrers of an image: signatures, SBOMs and other artifacts about it.

    They have no sort order: --sort-by is there because zot's zli has it. Also of a registry without the search
    extension.
    """
    del sort_by
    run(partial(_subject, ImageArgument.parse(image), limit), **given)


async def _query(text: str, criterion: str, limit: int | None, client: "RegistryClient", output: "QueryOutput") -> None:
    from zot.zli.queries import GLOBAL_SEARCH, literal
    from zot.zli.records import ImageRecord, RepositoryRecord, SearchRecord
    from zot.zli.search_client import pages
    from zot.zli.tables import ImageTable, print_repositories

    kinds: dict[str, type[SearchRecord]] = {"Images": ImageRecord, "Repos": RepositoryRecord}
    table = ImageTable(verbose=output.verbose)
    repositories = []
    given = {"query": literal(text)}
    async for found in pages(client, GLOBAL_SEARCH, given, kinds, criterion=criterion, limit=limit):
        for each in found:
            if not output.is_text:
                output.document(each)
            elif isinstance(each, ImageRecord):
                table.add(each)
            elif isinstance(each, RepositoryRecord):
                repositories.append(each)
    table.print()
    print_repositories(repositories, verbose=output.verbose)


async def _subject(image: ImageArgument, limit: int | None, client: "RegistryClient", output: "QueryOutput") -> None:
    from zot.zli.distribution import digest_of, referrers
    from zot.zli.search_client import QueryUnsupportedError
    from zot.zli.tables import print_referrers

    digest = image.digest or await digest_of(client, image)
    try:
        found = await _referrers(client, image.repository, digest)
    except QueryUnsupportedError:
        found = await referrers(client, image.repository, digest)
    found = found[:limit]
    if output.is_text:
        print_referrers(found)
    elif output.form == "jsonl":
        output.documents(found)
    else:
        output.document(found)


async def _referrers(client: "RegistryClient", repository: str, digest: str) -> "list[ReferrerRecord]":
    from zot.zli.queries import REFERRERS, literal
    from zot.zli.records import ReferrerRecord
    from zot.zli.search_client import ask, parsed_list

    given = {"repo": literal(repository), "digest": literal(digest)}
    return parsed_list(ReferrerRecord, await ask(client, REFERRERS, given))
