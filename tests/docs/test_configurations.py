"""The server accepts each piece of configuration in the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from zot.config.load import load_tree

DOCS = Path(__file__).parent.parent.parent / "docs"
_JSON = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# The section of a piece that does not begin at the top, by its keys.
PLACES = {
    "http": {"externalUrl", "auth", "tls", "accessControl", "trustedProxies", "limits"},
    "http.auth": {"apikey", "bearer", "htpasswd", "ldap", "mtls", "openid", "sessionDriver"},
    "http.auth.bearer": {"awsSecretsManager"},
    "http.accessControl": {"immutableTags"},
}
OTHER_FILES = {"insecure-registries", "configs", "bindDN", "clientid"}
"""Keys of files that are not a configuration of the server."""


def pieces() -> list[Any]:
    """Return all blocks of JSON below `docs`, by page and number; the reference has separate tests."""
    found = []
    for page in sorted({*DOCS.rglob("*.md")} - {*(DOCS / "reference").rglob("*.md")}):
        for number, text in enumerate(_JSON.findall(page.read_text())):
            found.append(pytest.param(text, id=f"{page.relative_to(DOCS)}-{number}"))
    return found


@pytest.mark.parametrize("text", pieces())
def test_a_piece_of_configuration_is_accepted(text: str) -> None:
    """It is JSON with keys and types that the server knows; files that it names need not exist."""
    tree = json.loads(text if text.lstrip().startswith("{") else f"{{{text}}}")
    if OTHER_FILES & tree.keys():
        return
    for place, keys in PLACES.items():
        if keys & tree.keys():
            for name in reversed(place.split(".")):
                tree = {name: tree}
            break
    config = {"storage": {"rootDirectory": "/var/lib/registry"}, "http": {}}
    try:
        load_tree(_joined(config, tree))
    except ValueError as error:
        message = str(error)
        assert "unknown keys" not in message
        assert "should be" not in message


def _joined(tree: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return a tree with the additions and replacements of another."""
    for name, value in more.items():
        tree[name] = _joined(tree[name], value) if isinstance(value, dict) and name in tree else value
    return tree
