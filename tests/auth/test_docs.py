"""What the documentation tells people to write works."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import programs
from zot.auth import build as auth_of
from zot.auth import cel
from zot.auth.explain import explain
from zot.cli.explain import text
from zot.config.access_control import AccessControlConfig
from zot.config.load import load_tree
from zot.config.model import Config
from zot.foundation.threads import ThreadPool
from zot.oci.names import parse_reference, parse_repository
from zot.registry.request import Action

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = Path(__file__).parents[2] / "examples"
PAGES = [
    path
    for pattern in (
        "how-to/log-in-*.md",
        "how-to/use-*.md",
        "how-to/keep-*.md",
        "explanation/access-control.md",
    )
    for path in sorted(DOCS.glob(pattern))
]
BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)

# Where a fragment stands in a whole configuration, by its first key.
PLACES = {
    "http": (),
    "auth": ("http",),
    "accessControl": ("http",),
    "ldap": ("http", "auth"),
    "awsSecretsManager": ("http", "auth", "bearer"),
    "immutableTags": ("http", "accessControl"),
}
SECRETS = {
    "/etc/zot/ldap.json": {"bindDN": "cn=zot", "bindPassword": "x"},
    "/etc/zot/oidc.json": {"clientid": "zot", "clientsecret": "x"},
}


def blocks() -> list[tuple[str, str]]:
    """Give the JSON of all pages."""
    return [(page.stem, found) for page in PAGES for found in BLOCK.findall(page.read_text())]


def whole(block: str) -> dict[str, Any]:
    """Put a fragment where it belongs."""
    if block.startswith("{"):
        tree: dict[str, Any] = json.loads(block)
        return tree
    inside: dict[str, Any] = json.loads(f"{{{block}}}")
    for name in reversed(PLACES[next(iter(inside))]):
        inside = {name: inside}
    if "bearer" in inside.get("http", {}).get("auth", {}):
        inside["http"]["auth"]["bearer"] |= {"realm": "r", "service": "s"} if "cert" not in block else {}
    return inside


@pytest.mark.parametrize(("page", "block"), blocks())
async def test_what_the_pages_show_is_a_configuration(page: str, block: str, tmp_path: Path) -> None:
    """Each block, alone or in its place, is accepted, and its ways in and rules can be built."""
    for name, content in SECRETS.items():
        file = tmp_path / Path(name).name
        file.write_text(json.dumps(content))
        block = block.replace(name, str(file))
    tree = whole(block)
    tree.setdefault("storage", {"rootDirectory": str(tmp_path)})
    if page in {"access-control", "log-in-with-client-certificates"}:
        tree["http"].setdefault("auth", {})["htpasswd"] = {"path": str(tmp_path / "htpasswd")}
    config = load_tree(tree, cel.compile_condition).config
    await _build(config)


async def _build(config: Config) -> None:
    if config.http.auth.ldap is not None:
        programs.require_ldap()
    pool = ThreadPool("passwords", 1, 8)
    auth = auth_of.build(config, auth_of.AuthParts(pool, pool))
    await auth.close()
    pool.close()


def test_the_explanation_is_what_explain_says() -> None:
    """The example is the output for the rules of the same page."""
    page = (DOCS / "explanation" / "access-control.md").read_text()
    rules = AccessControlConfig.model_validate(whole(BLOCK.findall(page)[0])["http"]["accessControl"])
    repository, tag = parse_repository("team/app"), parse_reference("v1")
    assert f"```\n{text(explain(rules, 'bob', ['dev'], repository, Action.UPDATE, tag))}\n```" in page


@pytest.mark.parametrize(
    "name", ["policy", "anonymous-authz", "openid", "mtls", "ldap", "bearer-auth", "metrics-authz"]
)
async def test_examples_can_be_built(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example for each way in, as it is."""
    monkeypatch.chdir(EXAMPLES)
    config = load_tree(json.loads((EXAMPLES / f"config-{name}.json").read_text()), cel.compile_condition).config
    await _build(config)
