"""`zli cve`: vulnerabilities of images, and images by vulnerability."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zot.zli.image_reference import ImageArgument, check_image, is_image_reference
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
    from zot.zli.records import CveCounts, CveRecord

Command = TypeVar("Command", bound=Callable[..., Any])

SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""From the mildest to the worst."""

FOUND_STATUS = 3
"""The exit status when there are vulnerabilities of the severity of --fail-on, or a worse one."""

fail_on_option = click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES, case_sensitive=False),
    help="Exit with status 3 when there are vulnerabilities of this severity, or worse.",
)


def cve_options(command: Command) -> Command:
    """Give a command the options on the vulnerabilities of an image."""
    for option in (
        limit_option,
        fail_on_option,
        click.option("--cve-id", default="", metavar="TEXT", help="Show those alone that have this in ID or title."),
    ):
        command = option(command)
    return command


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@query_options
@click.pass_context
def cve(context: click.Context, /, **given: Any) -> None:
    """Look up vulnerabilities (CVEs) of images.

    The options of all commands may stand before the command. The registry needs the search extension with scans.
    """
    defaults_of_group(context, given)


@cve.command("list")
@query_options
@cve_options
@sort_option(CVE_SORT, "severity")
@click.argument("image", metavar="REPO:TAG|REPO@DIGEST", callback=check_image)
def list_(image: str, **given: Any) -> None:
    """List the vulnerabilities of an image.

    Waits up to a minute for a registry that has no vulnerability database yet.
    """
    print_vulnerabilities_of(image, **given)


@cve.command("affected")
@query_options
@sort_option(IMAGE_SORT, "alpha-asc")
@limit_option
@click.option("--repo", default="", help="Only images of this repository.")
@click.argument("cve_id", metavar="CVE-ID")
def affected(cve_id: str, repo: str, sort_by: str, limit: int | None, **given: Any) -> None:
    """List the images that a vulnerability affects."""
    if not cve_id.startswith("CVE"):
        raise click.ClickException(f"invalid cli parameter: expected a cveid 'CVE-...' got '{cve_id}'")
    run(partial(_affected, cve_id, repo, IMAGE_SORT.criteria[sort_by], limit), **given)


@cve.command("fixed")
@query_options
@sort_option(IMAGE_SORT, None)
@limit_option
@click.argument("repo")
@click.argument("cve_id", metavar="CVE-ID")
def fixed(repo: str, cve_id: str, sort_by: str | None, limit: int | None, **given: Any) -> None:
    """List the images of a repository in which a vulnerability is fixed, the latest first."""
    from zot.oci.names import InvalidNameError, parse_repository
    from zot.zli.queries import IMAGE_LIST_WITH_CVE_FIXED

    try:
        parse_repository(repo)
    except InvalidNameError as error:
        raise click.ClickException(
            f"invalid cli parameter: expected a valid repo name for first argument '{repo}'"
        ) from error
    criterion = IMAGE_SORT.criteria[sort_by] if sort_by else None
    texts = {"id": cve_id, "image": repo}
    run(partial(print_images_of, IMAGE_LIST_WITH_CVE_FIXED, texts, criterion, limit), **given)


@cve.command("diff")
@query_options
@fail_on_option
@limit_option
@click.argument("images", metavar="MINUEND [PLATFORM] SUBTRAHEND [PLATFORM]", nargs=-1)
def diff(images: tuple[str, ...], fail_on: str | None, limit: int | None, **given: Any) -> None:
    """List the vulnerabilities of an image that another image does not have.

    A multi-platform image needs a PLATFORM, as `os/arch`. --fail-on is about the vulnerabilities that are listed.
    """
    minuend, subtrahend = _compared(images)
    run(partial(_diff, minuend, subtrahend, limit, fail_on), **given)


def print_vulnerabilities_of(
    image: str, cve_id: str, sort_by: str, fail_on: str | None, limit: int | None, **given: Any
) -> None:
    """Print the vulnerabilities of an image; exit as `fail_on` says."""
    run(partial(_list, image, cve_id, CVE_SORT.criteria[sort_by], limit, fail_on), **given)


async def _list(
    image: str,
    cve_id: str,
    criterion: str,
    limit: int | None,
    fail_on: str | None,
    client: "RegistryClient",
    output: "QueryOutput",
) -> None:
    from zot.zli.queries import CVE_LIST_FOR_IMAGE, literal
    from zot.zli.records import CveListRecord
    from zot.zli.search_client import ask, parsed
    from zot.zli.tables import print_vulnerabilities

    given = {
        "image": literal(image),
        "searchedCVE": literal(cve_id),
        "requestedPage": f"{{sortBy: {criterion}}}",
    }
    result = parsed(CveListRecord, await ask(client, CVE_LIST_FOR_IMAGE, given))
    found = result.cve_list or []
    result.cve_list = found[:limit]
    if output.form == "jsonl":
        output.documents(result.cve_list)
    elif not output.is_text:
        output.document(result)
    elif not found:
        click.echo("No CVEs found for image")
    else:
        print_vulnerabilities(result.cve_list, result.summary, verbose=output.verbose)
    _fail(fail_on, found, None if cve_id else result.summary)


async def _affected(
    cve_id: str, repo: str, criterion: str, limit: int | None, client: "RegistryClient", output: "QueryOutput"
) -> None:
    from zot.zli.queries import IMAGE_LIST_FOR_CVE, literal
    from zot.zli.records import ImageRecord
    from zot.zli.search_client import pages

    given = {"id": literal(cve_id)}
    asked = None if repo else limit  # the query does not select by repository
    found = pages(client, IMAGE_LIST_FOR_CVE, given, {"Results": ImageRecord}, criterion=criterion, limit=asked)
    await output.images(kept(found, lambda each: not repo or each.repo_name == repo, limit))


async def _diff(
    minuend: str,
    subtrahend: str,
    limit: int | None,
    fail_on: str | None,
    client: "RegistryClient",
    output: "QueryOutput",
) -> None:
    from zot.zli.queries import CVE_DIFF_LIST_FOR_IMAGES
    from zot.zli.records import CveDiffRecord, CveListRecord
    from zot.zli.search_client import ask, parsed
    from zot.zli.tables import print_difference_header, print_vulnerabilities

    given = {"minuend": minuend, "subtrahend": subtrahend}
    result = parsed(CveDiffRecord, await ask(client, CVE_DIFF_LIST_FOR_IMAGES, given))
    found = result.cve_list or []
    shown = found[:limit]
    if output.form == "jsonl":
        output.documents(shown)
    elif not output.is_text:
        output.document(CveListRecord(result.minuend.tag, shown, result.summary))
    else:
        print_difference_header(result.minuend, result.subtrahend)
        print_vulnerabilities(shown, result.summary, verbose=output.verbose)
    _fail(fail_on, found, result.summary)


def _fail(fail_on: str | None, found: "Sequence[CveRecord]", summary: "CveCounts | None") -> None:
    """Exit with FOUND_STATUS if a vulnerability is as bad as `fail_on`; a summary counts those not found, too."""
    if fail_on is None:
        return
    bad = SEVERITIES[SEVERITIES.index(fail_on) :]
    counted = summary is not None and any(getattr(summary, f"{each.lower()}_count") for each in bad)
    if counted or any(each.severity in bad for each in found):
        raise click.exceptions.Exit(FOUND_STATUS)


def _compared(words: tuple[str, ...]) -> tuple[str, str]:
    """Return minuend and subtrahend as GraphQL inputs. Raises ClickException."""
    if not 2 <= len(words) <= 4:
        raise click.ClickException(f"accepts between 2 and 4 arg(s), received {len(words)}")
    images: list[list[str]] = []
    for ordinal, word in zip(("first", "2nd", "3rd", "4th"), words, strict=False):
        if is_image_reference(word):
            images.append([word])
        elif images and len(images[-1]) == 1:
            images[-1].append(word)
        else:
            raise click.ClickException(f"invalid cli arguments: {ordinal} argument should be a repo:tag")
    if len(images) == 1:
        raise click.ClickException("invalid cli arguments: not enough arguments, specified only 1 image with arch")
    if len(images) > 2:
        raise click.ClickException("invalid cli arguments: too many repo:tag inputs")
    return _input(*images[0]), _input(*images[1])


def _input(image: str, platform: str = "") -> str:
    from zot.zli.queries import literal

    parts = ImageArgument.parse(image)
    system, _, architecture = platform.partition("/")
    where = f", Platform: {{Os: {literal(system)}, Arch: {literal(architecture)}}}" if platform else ""
    repo, tag, digest = map(literal, parts)
    return f"{{Repo: {repo}, Tag: {tag}, Digest: {digest}{where}}}"
