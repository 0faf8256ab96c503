"""`zli image`: images by name, digest, base and vulnerability."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from zot.zli.cve import cve_options, print_vulnerabilities_of
from zot.zli.image_reference import check_image
from zot.zli.query_command import (
    CVE_SORT,
    IMAGE_SORT,
    defaults_of_group,
    kept,
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

image_argument = click.argument("image", metavar="REPO:TAG|REPO@DIGEST", callback=check_image)


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@query_options
@click.pass_context
def image(context: click.Context, /, **given: Any) -> None:
    """List images of a registry.

    The options of all commands may stand before the command.
    """
    defaults_of_group(context, given)


@image.command("list")
@query_options
@sort_option(IMAGE_SORT, "alpha-asc")
@limit_option
def list_(sort_by: str, limit: int | None, **given: Any) -> None:
    """List all images.

    Also of a registry without the search extension, whose images are read one by one.
    """
    run(partial(_by_name, "", "", sort_by, limit), **given)


@image.command("name")
@query_options
@sort_option(IMAGE_SORT, "alpha-asc")
@limit_option
@click.argument("name", metavar="REPO[:TAG]")
def name_(name: str, sort_by: str, limit: int | None, **given: Any) -> None:
    """List the images of a repository, or the one with a tag.

    Also of a registry without the search extension, whose images are read one by one.
    """
    repository, _, tag = name.partition(":")
    if not repository:
        raise click.ClickException("invalid image reference format, use [repo:tag] or [repo@digest]")
    run(partial(_by_name, repository, tag, sort_by, limit), **given)


@image.command("digest")
@query_options
@sort_option(IMAGE_SORT, "alpha-asc")
@limit_option
@click.argument("digest")
def digest_(digest: str, sort_by: str, limit: int | None, **given: Any) -> None:
    """List the images that have a manifest, config or layer of this digest, or part of a digest."""
    from zot.zli.queries import IMAGE_LIST_FOR_DIGEST

    run(partial(print_images_of, IMAGE_LIST_FOR_DIGEST, {"id": digest}, IMAGE_SORT.criteria[sort_by], limit), **given)


@image.command("base")
@query_options
@sort_option(IMAGE_SORT, "alpha-asc")
@limit_option
@image_argument
def base(image: str, sort_by: str, limit: int | None, **given: Any) -> None:
    """List the images whose layers are the first ones of this image."""
    from zot.zli.queries import BASE_IMAGE_LIST

    run(partial(print_images_of, BASE_IMAGE_LIST, {"image": image}, IMAGE_SORT.criteria[sort_by], limit), **given)


@image.command("derived")
@query_options
@sort_option(IMAGE_SORT, "alpha-asc")
@limit_option
@image_argument
def derived(image: str, sort_by: str, limit: int | None, **given: Any) -> None:
    """List the images whose first layers are those of this image."""
    from zot.zli.queries import DERIVED_IMAGE_LIST

    run(partial(print_images_of, DERIVED_IMAGE_LIST, {"image": image}, IMAGE_SORT.criteria[sort_by], limit), **given)


@image.command("cve")
@query_options
@cve_options
@sort_option(CVE_SORT, "severity")
@image_argument
def cve_(image: str, **given: Any) -> None:
    """List the vulnerabilities of an image, as `zli cve list` does."""
    print_vulnerabilities_of(image, **given)


async def _by_name(
    repository: str, tag: str, sort_by: str, limit: int | None, client: "RegistryClient", output: "QueryOutput"
) -> None:
    from zot.zli.distribution import images_by_name
    from zot.zli.queries import IMAGE_LIST, literal
    from zot.zli.records import ImageRecord
    from zot.zli.search_client import QueryUnsupportedError, pages

    found = pages(
        client,
        IMAGE_LIST,
        {"repo": literal(repository)},
        {"Results": ImageRecord},
        criterion=IMAGE_SORT.criteria[sort_by],
        limit=None if tag else limit,
    )
    try:
        await output.images(kept(found, lambda each: not tag or each.tag == tag, limit))
    except QueryUnsupportedError:
        await output.images(kept(images_by_name(client, repository, tag, sort_by), lambda _: True, limit))
