"""Empty sections of `http.accessControl`, which mean nothing in zot: they are read as if they were not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zot.config.parse import Tree

PATH = "http.accessControl"


def drop_empty(tree: Tree) -> list[str]:
    """Remove empty objects from `http.accessControl` of a tree with keys in lower case; return warnings.

    Rules that hold nothing are no rules: without any left there is no access control, and of a pattern without any
    rule the next longest one holds. An empty list is a rule: it grants to no client.
    """
    http = tree.get("http")
    if not isinstance(http, dict) or not isinstance(http.get("accesscontrol"), dict):
        return []
    rules = http["accesscontrol"]
    patterns = rules.get("repositories")
    named = list(patterns) if isinstance(patterns, dict) else []
    _prune(rules)
    if not rules:
        del http["accesscontrol"]
        return [f"{PATH}: it is empty: there is no access control, and every client that gets in may do everything"]
    left = rules.get("repositories", {})
    return [
        f'{PATH}.repositories["{pattern}"]: it is empty and left out: the next longest pattern holds'
        for pattern in named
        if pattern not in left
    ]


def _prune(section: dict[str, Any]) -> None:
    for key, value in list(section.items()):
        if isinstance(value, dict):
            _prune(value)
        if value is None or value == {}:
            del section[key]
