"""`zot gc`: collect garbage now, or show what would be deleted, and why."""

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
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would be deleted in the end, and why.")
@click.option("--explain", metavar="REPO[:TAG]", help="Like --dry-run, for one repository or one of its tags.")
@click.option("--delay", help="Use this delay, such as 0s, for the configured ones. Only while no server runs.")
@JSON
@FILE
def command(*, dry_run: bool, explain: str | None, delay: str | None, as_json: bool, file: Path | None) -> None:
    """Collect garbage in the store of the configuration FILE. A running server does it; without one, this command.

    Unreferenced content is deleted once sweeps have found it unreferenced for the configured delay. Exit status 1 if a
    sweep failed.
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
            raise click.BadParameter("the delay must not be negative", param_hint="--delay")
        rows = ask(file, CollectGarbage(delay_s=delay_s))
        if as_json:
            show_json(rows)
        else:
            for row in rows:
                click.echo(f"{row.store}: {row.summary}")
        if not rows and not as_json:
            click.echo("garbage collection is off in all stores (storage.gc: false)")
        if any(row.failed for row in rows):
            raise SystemExit(1)


def _dry_run(previews: list[CollectionPreview]) -> None:
    rows = [(each.repository, each.kind, each.name, each.reason) for found in previews for each in found.going]
    for line in table(("REPOSITORY", "KIND", "NAME", "WHY"), rows):
        click.echo(line)
    _show_sum(previews)


def _explain(found: CollectionPreview, tag: Tag | None) -> None:
    if tag is not None and not found.tags and not any(each.kind == "tag" for each in found.going):
        click.echo(f"{found.repository}:{tag} is kept: no retention policy applies to its tags")
    later = {each.name: each.reason for each in found.going if each.kind == "tag"}
    for each in found.tags:
        if each.keep and each.tag in later:
            continue  # it is deleted with the image that it belongs to
        later.pop(each.tag, None)
        click.echo(f"{each.repository}:{each.tag} {'is kept' if each.keep else 'would be deleted'}: {each.reason}")
    for name, reason in later.items():
        click.echo(f"{found.repository}:{name} would be deleted: {reason}")
    for going in found.going:
        if going.kind != "tag":
            after = f", after {going.after_s:g} s in this state"
            shared = ", shared with another repository" if going.shared else ""
            note = f"{going.reason}{after} ({size(going.size)}{shared})"
            click.echo(f"{going.kind} {going.name} would be deleted: {note}")
    _show_sum([found])


def _show_sum(previews: list[CollectionPreview]) -> None:
    free, shared = sum(each.bytes_free for each in previews), sum(each.bytes_shared for each in previews)
    count = sum(len(each.going) for each in previews)
    click.echo(f"{count} would be deleted: {size(free)} freed, {size(shared)} kept for other repositories")
