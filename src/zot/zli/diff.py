"""`zli diff`: in what two images differ, of any registry."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from zot.zli.image_reference import ImageArgument, check_image
from zot.zli.query_command import query_options, run

if TYPE_CHECKING:
    from zot.oci.image_diff import ComparedImage, ImageDiff, ValueDiff
    from zot.zli.client import RegistryClient
    from zot.zli.output import QueryOutput

_MARKS = {"before": "-", "after": "+", "both": " "}


@click.command("diff")
@query_options
@click.option(
    "--platform", default="", metavar="OS/ARCH", help="Of an index. Default: linux/amd64, else the first one."
)
@click.argument("before", metavar="REPO:TAG|REPO@DIGEST", callback=check_image)
@click.argument("after", metavar="REPO:TAG|REPO@DIGEST", callback=check_image)
def diff(before: str, after: str, platform: str, **given: Any) -> None:
    """Show in which layers, settings, environment, labels and annotations two images differ.

    Works with any registry: it reads the manifests and configs of both. Lines of the first image alone begin with `-`,
    those of the second alone with `+`.
    """
    run(partial(_diff, before, after, platform), **given)


async def _diff(before: str, after: str, platform: str, client: "RegistryClient", output: "QueryOutput") -> None:
    import msgspec

    from zot.oci.image_diff import image_diff
    from zot.zli.distribution import image_content
    from zot.zli.tables import printable

    one, other = [await image_content(client, ImageArgument.parse(each), platform) for each in (before, after)]
    found = image_diff(one, other)
    if output.is_text:
        for line in _lines(before, after, found):
            click.echo(printable(line, kept="\n\t"))
    else:
        document = msgspec.to_builtins(found)
        for side, name in (("before", before), ("after", after)):
            document[side] = {"image": name, **document[side]}
        output.document(document)


def _lines(before: str, after: str, found: "ImageDiff") -> Iterator[str]:
    from zot.zli.tables import size_text

    yield _side("---", before, found.before)
    yield _side("+++", after, found.after)
    yield f"\nLAYERS ({size_text(found.shared_bytes)} in both)"
    for layer in found.layers:
        yield f"{_MARKS[layer.side]} {layer.digest} {size_text(layer.size)}"
    yield from _values("CONFIG", found.config, ": ")
    yield from _values("ENVIRONMENT", found.environment, "=")
    yield from _values("LABELS", found.labels, "=")
    yield from _values("ANNOTATIONS", found.annotations, "=")


def _side(mark: str, name: str, image: "ComparedImage") -> str:
    from zot.zli.tables import size_text

    return " ".join(each for each in (mark, name, image.digest, image.platform, size_text(image.size)) if each)


def _values(title: str, values: "Sequence[ValueDiff]", between: str) -> Iterator[str]:
    if values:
        yield f"\n{title}"
    for each in values:
        for mark, text in (("-", each.before), ("+", each.after)):
            if text is not None:
                lines = text.split("\n")
                yield f"{mark} {each.name}{between}" + "\n  ".join(lines)
