"""Removal of empty sections from `http.accessControl`, which zot treats as absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zot.config.parse import Tree

PATH = "http.accessControl"


def drop_empty(tree: Tree) -> list[str]:
    """Remove empty objects from `http.accessControl`, in place; return warnings.

    The keys of `tree` are in lower case. If nothing is left there is no access control. If a pattern is removed, the
    next longest matching one applies. An empty list stays: it is a rule that grants no action.
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
        return [f"{PATH}: it is empty: without access control every client that authenticates may do everything"]
    left = rules.get("repositories", {})
    return [
        f'{PATH}.repositories["{pattern}"]: it is empty and ignored: the next longest matching pattern applies'
        for pattern in named
        if pattern not in left
    ]


def _prune(section: dict[str, Any]) -> None:
    for key, value in list(section.items()):
        if isinstance(value, dict):
            _prune(value)
        if value is None or value == {}:
            del section[key]
