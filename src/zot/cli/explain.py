"""`zot explain`: why access control allows or denies an action."""

from __future__ import annotations

from pathlib import Path

import click

from zot.auth.explain import Explanation, explain
from zot.cli.configuration import checked
from zot.oci.names import parse_reference, parse_repository
from zot.registry.request import Action


@click.command("explain")
@click.option("--user", default="", help="The user. Default: a client that is not logged in.")
@click.option("--group", "groups", multiple=True, help="A group that the login provides; may be repeated.")
@click.option("--repo", required=True, help="The repository.")
@click.option("--action", type=click.Choice([str(action) for action in Action]), default="read", show_default=True)
@click.option("--reference", default="", help="A tag or digest, for rules that depend on it.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def command(user: str, groups: tuple[str, ...], repo: str, action: str, reference: str, file: Path) -> None:
    """Show whether the rules of the configuration FILE allow an action, which rule decides, and what is missing.

    The groups that the configuration gives the user are added. Conditions are evaluated without a request: all they
    read besides user, repository and reference is empty. Exit status 1 if the action is denied.
    """
    config = checked(file)
    try:
        repository = parse_repository(repo)
        parsed = parse_reference(reference) if reference else None
        decision = explain(config.http.access_control, user, groups, repository, Action(action), parsed)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(text(decision))
    if config.http.auth.has_token_bearer:
        click.echo("note: a bearer token is authorized by its own access entries; immutable tags apply to it as well")
    if not decision.allowed:
        raise SystemExit(1)


def text(decision: Explanation) -> str:
    """Return the explanation as text, a fact per line."""
    who = decision.user or "anonymous"
    groups = f" (groups: {', '.join(decision.groups)})" if decision.groups else ""
    what = decision.repository + (
        f":{decision.reference}" if decision.reference and ":" not in decision.reference else ""
    )
    lines = [
        f"{'allow' if decision.allowed else 'deny'}: {who}{groups} {decision.action} {what}",
        f"pattern: {decision.pattern or 'none matches'}",
        f"rule: {decision.rule}",
    ]
    if decision.message:
        lines.append(f"condition: {decision.message}")
    if decision.reason:
        lines.append(f"missing: {decision.reason}")
    lines += [f"would allow: {hint}" for hint in decision.would_allow]
    return "\n".join(lines)
