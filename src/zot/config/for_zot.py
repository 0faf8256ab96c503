"""The way back: a configuration file without the keys that zot would refuse."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zot.config.own_keys import KEYS
from zot.config.parse import Tree, read_tree

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ForZot:
    """A configuration file for zot, and what changes by going back to it."""

    text: str
    lost: tuple[str, ...]


def for_zot(path: Path) -> ForZot:
    """Return the configuration file at `path` without the keys beyond zot's, and what stops working without them.

    The text is YAML for a YAML file, else JSON; comments are not kept. Raises ConfigurationError as `parse.read_tree`.
    """
    lost: list[str] = []
    tree = _strip(read_tree(path), "", lost)
    lost += _other_defaults(tree)
    if path.suffix.lower() in (".yaml", ".yml"):
        import yaml  # noqa: PLC0415 - a JSON file needs none of it

        return ForZot(yaml.safe_dump(tree, sort_keys=False), tuple(lost))
    return ForZot(json.dumps(tree, indent=2) + "\n", tuple(lost))


_LOST = {entry.path.lower(): entry for entry in KEYS}


def _strip(value: Any, path: str, lost: list[str]) -> Any:
    if isinstance(value, list):
        return [_strip(item, f"{path}[]", lost) for item in value]
    if not isinstance(value, dict):
        return value
    kept: Tree = {}
    for name, item in value.items():
        below = f"{path}.{name.lower()}".removeprefix(".")
        if below in _LOST:
            lost.append(f"{_LOST[below].path}: {_LOST[below].lost}")
            continue
        stripped = _strip(item, below, lost)
        # An object that held nothing but keys beyond zot's goes with them.
        if stripped != {} or item == {}:
            kept[name] = stripped
    return kept


def _other_defaults(tree: Tree) -> list[str]:
    """Say where the same file means something else to zot."""
    found = []
    if _value(tree, "storage", "commit") is None:
        found.append("storage.commit is absent: zot acknowledges pushes before they are on disk; true prevents it.")
    if _value(tree, "http", "compat") is None:
        found.append('http.compat is absent: zot refuses Docker media types; ["docker2s2"] lets them in.')
    return found


def _value(tree: Tree, *names: str) -> Any:
    value: Any = tree
    for wanted in names:
        members = value.items() if isinstance(value, dict) else ()
        value = next((item for name, item in members if name.lower() == wanted), None)
    return value
