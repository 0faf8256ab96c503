"""`zot usage`: how many bytes repositories and tags take."""

from __future__ import annotations

from pathlib import Path

import click

from zot.cli.asking import FILE, ask, repository_and_tag, size, table


@click.command("usage")
@click.option("--repositories", "pattern", default="**", help="A glob of the repositories to show, e.g. 'team/**'.")
@click.option("--tags", "repository", help="Show the tags of this repository instead.")
@FILE
def command(pattern: str, repository: str | None, file: Path | None) -> None:
    """Show what repositories take, or the tags of one, in the store of the configuration FILE.

    A repository's bytes are those of its blobs and manifests, shared with others or not. Of a tag's bytes the unique
    ones are needed by no other tag of the repository: at most that much comes free there without it.
    """
    from zot.upkeep.requests import Usage, UsageOfTags

    rows: list[tuple[object, ...]]
    if repository is not None:
        name, _ = repository_and_tag(repository)
        found = ask(file, UsageOfTags(repository=name))
        rows = [(each.tag, size(each.bytes), size(each.unique)) for each in found]
        heads: tuple[str, ...] = ("TAG", "SIZE", "UNIQUE")
    else:
        counts = ask(file, Usage(pattern=pattern))
        heads = ("REPOSITORY", "SIZE", "TAGS", "MANIFESTS", "BLOBS")
        rows = [(each.repository, size(each.bytes), each.tags, each.manifests, each.blobs) for each in counts]
        rows.append(("", size(sum(each.bytes for each in counts)), sum(each.tags for each in counts), "", ""))
    for line in table(heads, rows):
        click.echo(line)
