"""YAML as zot reads it: scalars of YAML 1.2 (`no`, `on` and `12:30` are texts), no duplicate keys."""

from __future__ import annotations

import re
from typing import Any

import yaml

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's way

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [item[0].value for item in node.value if isinstance(item[0], yaml.ScalarNode) and item[0].value != "<<"]
        for name in {name for name in names if names.count(name) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {name!r}", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        return int(text, 16) if text.startswith("0x") else int(text)


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(
        _PREFIX + _name,
        re.compile(rf"(?:{_pattern})\Z"),
        list(_first.replace("\0", "")) + ([""] if "\0" in _first else []),
    )
_Loader.add_constructor(_PREFIX + "int", _Loader.construct_yaml_int)


def load_yaml(text: str) -> Any:
    """Parse a YAML document into plain values; raise ValueError with the position of an error."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
