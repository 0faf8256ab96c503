"""`zli history` and `zli restore`: what happened to tags, and how they get back to where they pointed."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from zot.zli.query_command import limit_option, query_options, run

if TYPE_CHECKING:
    from zot.zli.client import RegistryClient
    from zot.zli.output import QueryOutput

_TIME = "A time of RFC 3339, such as 2030-05-01T12:00:00Z."


@click.command("history")
@query_options
@limit_option
@click.option("--at", metavar="TIME", help=f"Show where the tags pointed at a time instead. {_TIME}")
@click.argument("name", metavar="REPO[:TAG]")
def history(name: str, at: str | None, limit: int | None, **given: Any) -> None:
    """Show when and by which user tags were created, moved and deleted, newest first.

    Needs a registry of this kind: zot has no history.
    """
    repository, _, tag = name.partition(":")
    if at:
        run(partial(_as_of, {"repo": repository, "tag": tag, "at": at}, limit), **given)
    else:
        run(partial(_history, {"repo": repository, "tag": tag}, limit), **given)


@click.command("restore")
@query_options
@click.option(
    "--to", "digest", metavar="DIGEST", help="The manifest to point to. Default: that before the last change."
)
@click.option("--at", metavar="TIME", help=f"Point to where the tag, or each tag, pointed at a time. {_TIME}")
@click.option("--if-digest", metavar="DIGEST", help="Only if the tag points there now.")
@click.argument("name", metavar="REPO[:TAG]")
def restore(name: str, digest: str | None, at: str | None, if_digest: str | None, **given: Any) -> None:
    """Point a deleted or moved tag at a manifest that it had.

    Without TAG, all tags of the repository that pointed elsewhere at the time of --at; newer tags stay. It needs the
    rights of a push, and a registry of this kind: zot has no history. A restore is in the history, and can be undone in
    the same way. Exit status 1 if a tag could not be restored.
    """
    repository, _, tag = name.partition(":")
    if digest and at:
        raise click.UsageError("--to and --at exclude each other")
    if not tag and (digest or if_digest or not at):
        raise click.UsageError("the tag is missing: give REPO:TAG, or --at alone for all tags")
    fields = {"repo": repository, "tag": tag, "digest": digest or "", "at": at or ""}
    if tag:
        headers = {"If-Match": f'"{if_digest}"'} if if_digest else {}
        run(partial(_restore, fields, headers), **given)
    else:
        run(partial(_restore_all, fields), **given)


async def _history(fields: dict[str, str], limit: int | None, client: "RegistryClient", output: "QueryOutput") -> None:
    from zot.zli.registry_api import TagChangeRecord, rows

    found = rows(client, "history", fields, "changes", TagChangeRecord, limit)
    await output.records(
        found,
        ("TIME", "TAG", "FROM", "TO", "BY"),
        lambda each: (each.time, each.tag, each.before or "-", each.after or "-", each.by or _source(each.source)),
    )


async def _as_of(fields: dict[str, str], limit: int | None, client: "RegistryClient", output: "QueryOutput") -> None:
    from zot.zli.registry_api import TagAtRecord, rows

    repository = fields["repo"]
    found = rows(client, "asof", fields, "tags", TagAtRecord, limit)
    await output.records(
        found,
        ("TAG", "REFERENCE", "STATE"),
        lambda each: (each.tag, f"{repository}@{each.digest}", "" if each.here else "deleted since"),
    )


async def _restore(
    fields: dict[str, str], headers: dict[str, str], client: "RegistryClient", output: "QueryOutput"
) -> None:
    from zot.zli.registry_api import RestoredTag, post

    done = await post(client, "restore", fields, RestoredTag, headers)
    _print_restored(fields["repo"], done, output)


async def _restore_all(fields: dict[str, str], client: "RegistryClient", output: "QueryOutput") -> None:
    from zot.zli.registry_api import RestoredTags, post

    failed = False
    while True:
        done = await post(client, "restore", fields, RestoredTags, {})
        for each in done.restored:
            _print_restored(fields["repo"], each, output)
        if done.left and done.restored:
            continue
        for tags, why in ((done.gone, "its manifest was deleted"), (done.changed, "it was changed meanwhile")):
            for tag in tags:
                click.echo(f"{fields['repo']}:{tag} is not restored: {why}", err=True)
                failed = True
        break
    if failed:
        raise click.exceptions.Exit(1)


def _print_restored(repository: str, done: Any, output: "QueryOutput") -> None:
    if output.is_text:
        click.echo(f"{repository}:{done.tag} points to {done.digest}")
    else:
        output.document({"repository": repository, "tag": done.tag, "digest": done.digest})


def _source(source: str) -> str:
    """Return what made a change that no user made, in the words of the pages."""
    return "anonymous" if source == "client" else source
