"""Records as JSON and YAML, to the letter as zot's zli writes them: a document each."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from zot.zli.records import SearchRecord, Time

if TYPE_CHECKING:
    import yaml

# What Go's encoder escapes besides: JSON that may stand in HTML and JavaScript.
_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
_INDENT = 4


class _Timestamp(str):
    """A time, which YAML does not quote."""

    __slots__ = ()


def json_line(value: object) -> str:
    """Return records, or what JSON has, as a line of JSON."""
    return json.dumps(_tree(value), ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED) + "\n"


def yaml_document(value: object) -> str:
    """Return records, or what JSON has, as a YAML document with its `---`."""
    import yaml

    return "---\n" + yaml.dump(
        _yaml_tree(_tree(value)), Dumper=_dumper(), sort_keys=False, allow_unicode=True, indent=_INDENT, width=2**31
    )


def _tree(value: Any) -> Any:
    """Return dictionaries, lists and scalars, with the names of JSON."""
    if isinstance(value, SearchRecord):
        return {name: read(getattr(value, field)) for field, name, read in _fields(type(value))}
    if isinstance(value, list):
        return [_tree(each) for each in value]
    return value


@cache
def _fields(kind: type[SearchRecord]) -> list[tuple[str, str, Any]]:
    """Return name, name in JSON, and conversion of each field."""
    spell = {
        "camel": lambda name: name[0].lower() + name[1:],
        "pascal": lambda name: name,
        "lower": str.lower,
    }[kind.spelling]
    return [
        (field.name, spell(field.encode_name), _timestamp if field.type is Time else _tree)
        for field in msgspec.structs.fields(kind)
    ]


def _timestamp(text: str) -> _Timestamp:
    """Return a time without zeros at the end of its fraction, as Go prints it."""
    seconds, point, rest = text.partition(".")
    digits = rest.rstrip("Z") if rest.endswith("Z") else rest.partition("+")[0].partition("-")[0]
    fraction = digits.rstrip("0")
    return _Timestamp(seconds + (f".{fraction}" if fraction else "") + rest[len(digits) :] if point else text)


def _yaml_tree(value: Any) -> Any:
    """Return what YAML has instead: names in lower case, and an empty list where JSON has null."""
    if isinstance(value, dict):
        return {key.lower(): _yaml_tree(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_yaml_tree(each) for each in value]
    return [] if value is None else value


@cache
def _dumper() -> type["yaml.SafeDumper"]:
    """Return a dumper that lays out and quotes as Go's yaml.v3 does."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            """Indent to the next multiple, but what an item of a list has, only past its `- `."""
            del indentless  # lists are indented below a key as well
            self.indents.append(self.indent)
            if self.indent is None:
                self.indent = _INDENT if flow else 0
            elif self.states and self.states[-1] == self.expect_block_sequence_item:
                self.indent += 2
            else:
                self.indent = _INDENT * ((self.indent + _INDENT) // _INDENT)

        def text(self, text: str) -> yaml.Node:
            style = None
            tag: str = self.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
            if "\n" in text:
                style = "|"
            elif tag != "tag:yaml.org,2002:str" or text in {"y", "Y", "n", "N"}:
                style = '"'
            return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

        def timestamp(self, text: _Timestamp) -> yaml.Node:
            return self.represent_scalar("tag:yaml.org,2002:timestamp", str(text))

    Dumper.add_representer(str, Dumper.text)
    Dumper.add_representer(_Timestamp, Dumper.timestamp)
    return Dumper
