"""`zot verify-feature`: show what a feature of a configuration would do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zot.cli.command_group import CommandGroup
from zot.cli.configuration import checked
from zot.cli.store_client import ask, table
from zot.cli.store_client import retention as retention_of

if TYPE_CHECKING:
    from zot.admin.preview import CollectionPreview

_COMPLETED = "retention check completed successfully"


@click.group("verify-feature", cls=CommandGroup)
def command() -> None:
    """Show what a feature of a configuration would do. Changes nothing."""


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-l",
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the decisions to this file, in the form of zot's log.",
)
@click.option("-i", "--gc-interval", help="Accepted for compatibility with zot: all decisions are made at once.")
@click.option("-t", "--timeout", help="Accepted for compatibility with zot.")
def retention(file: Path, log_file: Path | None, gc_interval: str | None, timeout: str | None) -> None:
    """Show what the retention policies of the configuration FILE decide about each tag of its store, and why.

    Untagged manifests that would be deleted are shown with the tag `-`. A server may be running on the store, by this
    configuration or another. Exit status 0 whatever the decisions are; 1 if garbage collection is off in all stores.
    """
    from zot.admin.requests import PreviewCollection

    del gc_interval, timeout
    storage = checked(file).storage
    if not any(each.gc for each in (storage, *storage.sub_paths.values())):
        raise click.ClickException("garbage collection is off (storage.gc: false): retention is not applied")
    previews = ask(file, PreviewCollection(retention=retention_of(file)))
    if log_file is not None:
        log_file.write_text("".join(f"{line}\n" for line in _log_lines(previews)), encoding="utf-8")
        return
    rows = [row for found in previews for row in _rows(found)]
    for line in table(("REPOSITORY", "TAG", "DECISION", "REASON", "DIGEST"), rows):
        click.echo(line)
    click.echo(_COMPLETED)


def _rows(found: CollectionPreview) -> Iterator[tuple[str, ...]]:
    for each in found.tags:
        yield each.repository, each.tag, "keep" if each.keep else "delete", each.reason, each.digest
    for going in found.going:
        if going.kind == "manifest":
            yield found.repository, "-", "delete", going.reason, going.name


def _log_lines(previews: Iterable[CollectionPreview]) -> Iterator[str]:
    """Yield the lines of zot's log, as JSON: one for each decision."""
    from zot.maintenance.retention import Candidate, RetentionDecision
    from zot.maintenance.retention_log import decision_fields
    from zot.oci.names import Tag

    for found in previews:
        for each in found.tags:
            candidate = Candidate(each.digest, each.media_type, Tag(each.tag), each.pushed_s, each.pulled_s)
            decision = RetentionDecision(candidate, each.keep, each.reason)
            yield _log_line("applied policy", **decision_fields(found.repository, decision, dry_run=True))
        for going in found.going:
            if going.kind == "manifest":
                about = {"module": "gc", "dry-run": True, "repository": found.repository, "reference": going.name}
                yield _log_line("removed untagged manifest", **about, decision="delete", reason=going.reason)
    yield _log_line(_COMPLETED)


def _log_line(message: str, **values: object) -> str:
    return json.dumps({"time": datetime.now(UTC).isoformat(), "level": "info", "message": message, **values})
