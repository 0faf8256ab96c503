"""`zot usage`: the storage that repositories and tags use."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.store_client import FILE, JSON, ask, repository_and_tag, show_json, table
from zot.config.globs import compile_glob
from zot.maintenance.units import size
from zot.oci.names import Repository


@click.command("usage")
@click.option("--repositories", "pattern", default="**", help="A glob of the repositories to show, e.g. 'team/**'.")
@click.option("--tags", "repository", help="Show the tags of this repository instead.")
@JSON
@FILE
def command(*, pattern: str, repository: str | None, as_json: bool, file: Path | None) -> None:
    """Show the storage that repositories, or the tags of one, use in the store of the configuration FILE.

    SIZE of a repository counts its blobs and manifests, including those it shares with others. UNIQUE are the bytes
    that no other tag of the repository needs: at most that much is freed when the tag is deleted. UNREAD counts
    manifests of another program that cannot be read: a repository with one is not collected. `zot verify --store`
    names them.
    """
    from zot.admin.requests import StorageUsage, TagsUsage

    rows: list[tuple[object, ...]]
    try:
        compile_glob(pattern)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--repositories") from error
    request = TagsUsage(repository=_name(repository)) if repository is not None else StorageUsage(pattern=pattern)
    found = ask(file, request)
    if as_json:
        show_json(found)
        return
    if repository is not None:
        rows = [(each.tag, size(each.bytes), size(each.unique)) for each in found]
        heads: tuple[str, ...] = ("TAG", "SIZE", "UNIQUE")
    else:
        heads = ("REPOSITORY", "SIZE", "TAGS", "MANIFESTS", "BLOBS", "UNREAD")
        rows = [
            (each.repository, size(each.bytes), each.tags, each.manifests, each.blobs, each.unread) for each in found
        ]
        rows.append(("", size(sum(each.bytes for each in found)), sum(each.tags for each in found), "", "", ""))
    for line in table(heads, rows):
        click.echo(line)


def _name(text: str) -> Repository:
    name, tag = repository_and_tag(text)
    if tag is not None:
        raise click.BadParameter("give a repository without a tag", param_hint="--tags")
    return name
