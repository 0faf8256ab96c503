"""`zot gc`: collect garbage now, or say what would go, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zot.cli.store_client import FILE, JSON, ask, repository_and_tag, retention, show_json, table
from zot.config.durations import SECOND_NS, parse_ns
from zot.maintenance.units import size

if TYPE_CHECKING:
    from zot.admin.preview import CollectionPreview
    from zot.oci.names import Tag


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would go in the end, and why.")
@click.option("--explain", metavar="REPO[:TAG]", help="The same for one repository, or for one of its tags.")
@click.option("--delay", help="Instead of the configured delays, such as 0s. Only while no server runs.")
@JSON
@FILE
def command(*, dry_run: bool, explain: str | None, delay: str | None, as_json: bool, file: Path | None) -> None:
    """Collect garbage in the store of the configuration FILE: by the server, if one runs on it, or else here.

    What nothing keeps goes once sweeps have found it so for the configured delay. Exit status 1 if a sweep failed.
    """
    from zot.admin.requests import CollectGarbage, PreviewCollection

    if explain is not None:
        name, tag = repository_and_tag(explain)
        previews = ask(file, PreviewCollection(repository=name, of=tag, retention=retention(file)))
        if as_json:
            show_json(previews)
        else:
            _explain(previews[0], tag)
    elif dry_run:
        previews = ask(file, PreviewCollection(retention=retention(file)))
        if as_json:
            show_json(previews)
        else:
            _dry_run(previews)
    else:
        try:
            delay_s = parse_ns(delay) / SECOND_NS if delay is not None else None
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--delay") from error
        if delay_s is not None and delay_s < 0:
            raise click.BadParameter("a delay is not negative", param_hint="--delay")
        rows = ask(file, CollectGarbage(delay_s=delay_s))
        if as_json:
            show_json(rows)
        else:
            for row in rows:
                click.echo(f"{row.store}: {row.summary}")
        if not rows and not as_json:
            click.echo("no store collects garbage: storage.gc is false")
        if any(row.failed for row in rows):
            raise SystemExit(1)


def _dry_run(previews: list[CollectionPreview]) -> None:
    rows = [(each.repository, each.kind, each.name, each.reason) for found in previews for each in found.going]
    for line in table(("REPOSITORY", "KIND", "NAME", "WHY"), rows):
        click.echo(line)
    _sum(previews)


def _explain(found: CollectionPreview, tag: Tag | None) -> None:
    if tag is not None and not found.tags and not any(each.kind == "tag" for each in found.going):
        click.echo(f"{found.repository}:{tag} stays: no retention policy decides about its tags")
    later = {each.name: each.reason for each in found.going if each.kind == "tag"}
    for each in found.tags:
        if each.keep and each.tag in later:
            continue  # what it belongs to goes first
        later.pop(each.tag, None)
        click.echo(f"{each.repository}:{each.tag} {'stays' if each.keep else 'goes'}: {each.reason}")
    for name, reason in later.items():
        click.echo(f"{found.repository}:{name} goes: {reason}")
    for going in found.going:
        if going.kind != "tag":
            after = f", once it was found so for {going.after_s:g} s"
            shared = ", shared with another repository" if going.shared else ""
            click.echo(f"{going.kind} {going.name} goes: {going.reason}{after} ({size(going.size)}{shared})")
    _sum([found])


def _sum(previews: list[CollectionPreview]) -> None:
    free, shared = sum(each.bytes_free for each in previews), sum(each.bytes_shared for each in previews)
    count = sum(len(each.going) for each in previews)
    click.echo(f"{count} would go: {size(free)} come free, {size(shared)} stay because other repositories have them")
