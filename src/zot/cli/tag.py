"""`zot tag`: the history of tags, and their restoration."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from zot.cli.command_group import CommandGroup
from zot.cli.store_client import FILE, JSON, ask, moment, repository_and_tag, show_json, table
from zot.oci.digest import InvalidDigestError, parse_digest

_SECOND_NS = 10**9


@click.group("tag", cls=CommandGroup)
def command() -> None:
    """Show the history of tags, and restore deleted or moved ones.

    The manifest of a moved or deleted tag is kept until garbage collection deletes it: at the earliest
    `storage.retention.delay` after a sweep found it untagged.
    """


@command.command()
@click.argument("name", metavar="REPO[:TAG]")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Number of changes to show.")
@JSON
@FILE
def history(*, name: str, limit: int, as_json: bool, file: Path | None) -> None:
    """Show when and by whom a tag was created, moved and deleted, and its digests; newest first, times in UTC."""
    from zot.admin.requests import TagHistory

    repository, tag = repository_and_tag(name)
    found = ask(file, TagHistory(repository=repository, tag=tag, limit=limit))
    if as_json:
        show_json(found)
        return
    rows = [
        (moment(each.at_ns / _SECOND_NS), each.tag, each.before or "-", each.after or "-", each.by or "-")
        for each in found
    ]
    for line in table(("TIME", "TAG", "FROM", "TO", "BY"), rows):
        click.echo(line)


@command.command()
@click.argument("name", metavar="REPO:TAG")
@click.option("--to", "digest", help="The digest to point to. Default: the one before the last change.")
@FILE
def restore(name: str, digest: str | None, file: Path | None) -> None:
    """Restore a tag that was deleted or moved."""
    from zot.admin.requests import RestoreTags

    repository, tag = repository_and_tag(name)
    if tag is None:
        raise click.BadParameter("the tag is missing: give REPO:TAG")
    try:
        wanted = parse_digest(digest) if digest is not None else None
    except InvalidDigestError as error:
        raise click.BadParameter(str(error)) from error
    (found,) = ask(file, RestoreTags(repository=repository, tag=tag, digest=wanted, by=_user()))
    click.echo(f"{found.repository}:{found.tag} points to {found.digest}")


@command.command()
@click.argument("name", metavar="REPO[:TAG]")
@click.argument(
    "time",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]),
    metavar="TIME",
)
@JSON
@FILE
def asof(*, name: str, time: datetime, as_json: bool, file: Path | None) -> None:
    """Show the digest of a tag, or of each tag of a repository, at TIME, as references to pull.

    TIME is in UTC: 2030-05-01, 2030-05-01T12:00, or 2030-05-01T12:00:00.
    """
    from zot.admin.requests import TagsAsOf

    repository, tag = repository_and_tag(name)
    at_ns = int(time.replace(tzinfo=UTC).timestamp() * _SECOND_NS)
    found = ask(file, TagsAsOf(repository=repository, tag=tag, at_ns=at_ns))
    if as_json:
        show_json(found)
        return
    rows = [(each.tag, f"{each.repository}@{each.digest}", "" if each.here else "deleted since") for each in found]
    for line in table(("TAG", "REFERENCE", ""), rows):
        click.echo(line)


def _user() -> str:
    """Return the name of the user who restores, for the tag's history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.geteuid()}"
