"""`zli explain`: why access control of a registry allows or denies an action."""

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from zot.zli.query_command import query_options, run

if TYPE_CHECKING:
    from zot.zli.client import RegistryClient
    from zot.zli.output import QueryOutput
    from zot.zli.records import AccessExplanation

EXPLAIN_PATH = "/v2/_zot/ext/explain"
ACTIONS = ("read", "create", "update", "delete", "detectManifestCollision")


@click.command("explain")
@query_options
@click.option("--for", "subject", default="", metavar="USER", help="The user. Default: a client without a login.")
@click.option("--group", "groups", multiple=True, help="A group that the login provides; may be repeated.")
@click.option("--repo", required=True, help="The repository.")
@click.option("--action", type=click.Choice(ACTIONS), default="read", show_default=True, help="What is to be done.")
@click.option("--reference", default="", help="A tag or digest, for rules that depend on it.")
def explain(subject: str, groups: tuple[str, ...], repo: str, action: str, reference: str, **given: Any) -> None:
    """Show whether a registry allows a user an action, which rule decides, and what is missing.

    For administrators of a registry of this kind, not of zot. Exit status 1 if the action is denied.
    """
    fields = [("user", subject), *(("group", each) for each in groups), ("repo", repo), ("action", action)]
    if reference:
        fields.append(("reference", reference))
    run(partial(_explain, urlencode(fields)), **given)


async def _explain(query: str, client: "RegistryClient", output: "QueryOutput") -> None:
    import msgspec

    from zot.zli.records import AccessExplanation
    from zot.zli.registry_api import error_text
    from zot.zli.search_client import unexpected

    response = await client.get(f"{EXPLAIN_PATH}?{query}")
    if response.status != 200:
        said = error_text(response.body)
        raise click.ClickException(said) if said else unexpected(response)
    try:
        explanation = msgspec.json.decode(response.body, type=AccessExplanation)
    except msgspec.MsgspecError as error:
        raise click.ClickException(
            f"{client.url(EXPLAIN_PATH)} did not answer as this registry does: {error}"
        ) from error
    if output.is_text:
        click.echo(_text(explanation))
    else:
        output.document(msgspec.json.decode(response.body))
    if not explanation.allowed:
        raise click.exceptions.Exit(1)


def _text(decision: "AccessExplanation") -> str:
    """Return the explanation as text, a fact per line, as `zot explain` prints it."""
    groups = f" (groups: {', '.join(decision.groups)})" if decision.groups else ""
    tag = f":{decision.reference}" if decision.reference and ":" not in decision.reference else ""
    verdict = "allow" if decision.allowed else "deny"
    lines = [
        f"{verdict}: {decision.user or 'anonymous'}{groups} {decision.action} {decision.repository}{tag}",
        f"pattern: {decision.pattern or 'none matches'}",
        f"rule: {decision.rule}",
    ]
    if decision.message:
        lines.append(f"condition: {decision.message}")
    if decision.reason:
        lines.append(f"missing: {decision.reason}")
    return "\n".join([*lines, *(f"would allow: {hint}" for hint in decision.would_allow)])
