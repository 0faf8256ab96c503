"""Conversion of a configuration file for zot: without the keys that zot would refuse."""

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
    """A configuration file for zot, and a line for each effect that differs there."""

    text: str
    lost: tuple[str, ...]


def for_zot(path: Path) -> ForZot:
    """Convert the configuration file at `path` for zot.

    The result is YAML for a YAML file, else JSON, without comments. Raises ConfigurationError as `parse.read_tree`.
    """
    lost: list[str] = []
    tree = _strip(read_tree(path), "", lost)
    lost += _own_catalog(tree)
    lost += _other_defaults(tree)
    if path.suffix.lower() in (".yaml", ".yml"):
        import yaml  # noqa: PLC0415 - not needed for a JSON file

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
        # An object that had only own keys is removed with them.
        if stripped != {} or item == {}:
            kept[name] = stripped
    return kept


def _own_catalog(tree: Tree) -> list[str]:
    """Remove a catalog driver that zot does not have."""
    storage = next((value for name, value in tree.items() if name.lower() == "storage"), None)
    if not isinstance(storage, dict):
        return []
    key = next((name for name in storage if name.lower() == "cachedriver"), "")
    driver = storage.get(key)
    if not isinstance(driver, dict) or driver.get("name") != "postgres":
        return []
    del storage[key]
    return ["storage.cacheDriver: zot has no catalog in PostgreSQL, and builds its own from the layouts"]


def _other_defaults(tree: Tree) -> list[str]:
    """Return a line for each absent key whose default differs in zot."""
    found = []
    if _value(tree, "storage", "commit") is None:
        found.append("storage.commit is absent: zot acknowledges pushes before they are on disk; true prevents it.")
    if _value(tree, "http", "compat") is None:
        found.append('http.compat is absent: zot refuses Docker media types; ["docker2s2"] accepts them.')
    return found


def _value(tree: Tree, *names: str) -> Any:
    value: Any = tree
    for wanted in names:
        members = value.items() if isinstance(value, dict) else ()
        value = next((item for name, item in members if name.lower() == wanted), None)
    return value
