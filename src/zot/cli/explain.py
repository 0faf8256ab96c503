"""`zot explain`: why may somebody do something, or why not."""

from __future__ import annotations

from pathlib import Path

import click

from zot.auth.explain import Explanation, explain
from zot.cli.configuration import checked
from zot.oci.names import parse_reference, parse_repository
from zot.registry.request import Action


@click.command("explain")
@click.option("--user", default="", help="Who asks; absent: somebody who is not logged in.")
@click.option("--group", "groups", multiple=True, help="A group that comes with the login; may be repeated.")
@click.option("--repo", required=True, help="The repository.")
@click.option("--action", type=click.Choice([str(action) for action in Action]), default="read", show_default=True)
@click.option("--reference", default="", help="A tag or digest, for rules that look at it.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def command(user: str, groups: tuple[str, ...], repo: str, action: str, reference: str, file: Path) -> None:
    """Say whether the rules of the configuration FILE allow an action, which rule decides, and what is missing.

    Groups of the configuration are added by themselves. Conditions are evaluated without a request: what they look
    at besides user, repository and reference is empty. Exit status 1 if it is denied.
    """
    config = checked(file)
    try:
        repository = parse_repository(repo)
        parsed = parse_reference(reference) if reference else None
        said = explain(config.http.access_control, user, groups, repository, Action(action), parsed)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(text(said))
    if config.http.auth.has_token_bearer:
        click.echo("note: bearer tokens are decided by their own access entries; immutable tags hold for them, too")
    if not said.allowed:
        raise SystemExit(1)


def text(said: Explanation) -> str:
    """Return the explanation as lines."""
    who = said.user or "anonymous"
    groups = f" (groups: {', '.join(said.groups)})" if said.groups else ""
    what = said.repository + (f":{said.reference}" if said.reference and ":" not in said.reference else "")
    lines = [
        f"{'allow' if said.allowed else 'deny'}: {who}{groups} {said.action} {what}",
        f"pattern: {said.pattern or 'none matches'}",
        f"rule: {said.rule}",
    ]
    if said.message:
        lines.append(f"condition: {said.message}")
    if said.reason:
        lines.append(f"missing: {said.reason}")
    lines += [f"would allow: {hint}" for hint in said.would_allow]
    return "\n".join(lines)
