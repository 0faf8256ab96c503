"""Parsing of JSON, YAML and TOML files into plain values of bounded size."""

from __future__ import annotations

import json
import math
import tomllib
from datetime import date, time
from typing import TYPE_CHECKING, Any

from zot.config.errors import ConfigProblem, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Tree = dict[str, Any]

FILE_LIMIT_BYTES = 4 << 20
DEPTH_LIMIT = 64
NODES_LIMIT = 200_000
# Formats that zot's reader (viper) supports and this one does not: refused by name instead of guessed.
_DROPPED_FORMATS = frozenset({"properties", "props", "prop", "hcl", "tfvars", "dotenv", "env", "ini"})


def read_content(path: Path) -> bytes:
    """Read at most `FILE_LIMIT_BYTES` and one more byte of a file. Raises OSError, ValueError."""
    with path.open("rb") as file:
        return file.read(FILE_LIMIT_BYTES + 1)


def read_tree(path: Path, read: Callable[[Path], bytes] = read_content) -> Tree:
    """Parse the file at `path`, in the format of its extension.

    `read` returns the content or raises OSError. For an unknown extension JSON, TOML and YAML are tried in this
    order. Raises ConfigurationError if the file cannot be read, is empty, is larger than 4 MiB, has a duplicate key,
    or is in none of these formats.
    """
    try:
        content = read(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ConfigurationError(
            ConfigProblem(f"cannot read the file: {getattr(error, 'strerror', error)}", str(path))
        ) from error
    if len(content) > FILE_LIMIT_BYTES:
        raise ConfigurationError(ConfigProblem(f"the file is larger than {FILE_LIMIT_BYTES >> 20} MiB", str(path)))
    return parse_tree(content, path.suffix.removeprefix(".").lower(), str(path))


def parse_tree(content: bytes, extension: str, name: str) -> Tree:
    """Parse `content`; `name` is the file's name in errors. Laws as for `read_tree`."""
    if extension in _DROPPED_FORMATS:
        raise ConfigurationError(
            ConfigProblem(f"the format .{extension} is not supported: use JSON, YAML or TOML", name)
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            ConfigProblem(f"the file is not UTF-8: byte {error.start} is invalid", name)
        ) from error
    parser = _PARSERS.get(extension)
    tree = _parse(parser, text, name) if parser is not None else _parse_any(text, name)
    if tree is None or tree == {}:
        raise ConfigurationError(ConfigProblem("failed to load config due to the absence of any key:value pair", name))
    if not isinstance(tree, dict):
        raise ConfigurationError(ConfigProblem(f"the file is a {_kind(tree)}, not an object of keys and values", name))
    _Walk(name).check(tree)
    return tree


def lower_keys(value: Any) -> Any:
    """Return the tree with all keys in lower case, as in zot, including names that operators choose.

    Raises ConfigurationError if an object has the same key in two spellings.
    """
    if isinstance(value, list):
        return [lower_keys(item) for item in value]
    if not isinstance(value, dict):
        return value
    lowered: Tree = {}
    for name, item in value.items():
        if name.lower() in lowered:
            raise ConfigurationError(ConfigProblem(f"duplicate key {name!r}, in two spellings", name))
        lowered[name.lower()] = lower_keys(item)
    return lowered


def merged(tree: Tree, overrides: Tree) -> Tree:
    """Return the tree overlaid with `overrides`; objects are merged key by key."""
    result = dict(tree)
    for name, value in overrides.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _parse(parser: Callable[[str], Any], text: str, name: str) -> Any:
    if not text.strip():
        return None
    try:
        return parser(text)
    except RecursionError:
        raise ConfigurationError(
            ConfigProblem(f"the file is nested more than {DEPTH_LIMIT} levels deep", name)
        ) from None
    except ValueError as error:
        # YAML's errors have several lines, and name the source `<unicode string>`.
        reason = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
        raise ConfigurationError(ConfigProblem(f"failed to read configuration: {reason}", name)) from error


def _parse_any(text: str, name: str) -> Any:
    failures = []
    for extension in ("json", "toml", "yaml"):
        try:
            return _parse(_PARSERS[extension], text, name)
        except ConfigurationError as error:
            failures.append(f"{extension}: {error.problems[0].text}")
    tried = "; ".join(failures)
    raise ConfigurationError(
        ConfigProblem(f"failed to read configuration, tried all supported config types: {tried}", name)
    )


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _unique(pairs: Iterable[tuple[str, Any]]) -> Tree:
    tree: Tree = {}
    for name, value in pairs:
        if name in tree:
            raise ValueError(f"duplicate key {name!r}")
        tree[name] = value
    return tree


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _parse_yaml(text: str) -> Any:
    # Imported lazily: most configurations are JSON, and each process of the server reads one.
    from zot.config.yaml import load_yaml  # noqa: PLC0415

    return load_yaml(text)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "json": _parse_json,
    "toml": tomllib.loads,
    "yaml": _parse_yaml,
    "yml": _parse_yaml,
}


class _Walk:
    """Refuses values that no configuration needs: huge trees (by YAML aliases), other keys than texts, broken text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes = 0

    def check(self, value: Any, depth: int = 0) -> None:
        self.nodes += 1
        if depth > DEPTH_LIMIT or self.nodes > NODES_LIMIT:
            self._refuse(f"has more than {NODES_LIMIT} values or {DEPTH_LIMIT} levels")
        if isinstance(value, dict):
            for name, item in value.items():
                self._check_key(name)
                self.check(item, depth + 1)
        elif isinstance(value, list):
            for item in value:
                self.check(item, depth + 1)
        elif isinstance(value, str):
            self._check_text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            self._refuse(f"has the number {value}, which is not finite")
        elif isinstance(value, date | time | bytes | set):
            self._refuse(f"has the {_kind(value)} {value!r}: write it as a text in quotes")

    def _check_key(self, name: Any) -> None:
        if not isinstance(name, str):
            self._refuse(f"has the key {name!r}, which is not a text: write it in quotes")
        self._check_text(name)

    def _check_text(self, text: str) -> None:
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._refuse("has a text with an unpaired surrogate")

    def _refuse(self, what: str) -> None:
        raise ConfigurationError(ConfigProblem(f"the file {what}", self.name))


def _kind(value: object) -> str:
    kinds = {list: "list", str: "text", bool: "bool", int: "number", float: "number"}
    return kinds.get(type(value), type(value).__name__)
