"""Records as JSON and YAML, to the letter as zot's zli writes them: a document each."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from zot.zli.records import SearchRecord, Time

# What Go's encoder escapes besides: JSON that may stand in HTML and JavaScript.
_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
_INDENT = 4
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# What is a number for Go's yaml.v3, though not for YAML 1.1.
_GO_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?0o[0-7]+")


class _Timestamp(str):
    """A time, which YAML does not quote."""

    __slots__ = ()


def json_line(value: object) -> str:
    """Return records, or what JSON has, as a line of JSON."""
    return json.dumps(_tree(value), ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED) + "\n"


def yaml_document(value: object) -> str:
    """Return records, or what JSON has, as a YAML document with its `---`."""
    return "\n".join(["---", *_yaml_lines(_tree(value), 0), ""])


def _tree(value: Any) -> Any:
    """Return dictionaries, lists and scalars, with the names of JSON."""
    if isinstance(value, SearchRecord):
        shape = _shape(type(value))
        tree = dict(zip(shape.names, shape.values(value), strict=True))
        for name, convert in shape.conversions:
            tree[name] = convert(tree[name])
        return tree
    if isinstance(value, list):
        return [_tree(each) for each in value]
    return value


class _Shape(NamedTuple):
    """The names of a record in JSON, how to get their values, and how to convert those that are no scalars."""

    names: list[str]
    values: Callable[[SearchRecord], tuple[Any, ...]]
    conversions: list[tuple[str, Callable[[Any], Any]]]


@cache
def _shape(kind: type[SearchRecord]) -> _Shape:
    fields = msgspec.structs.fields(kind)
    names = [_spelled(field.encode_name, kind.spelling) for field in fields]
    scalars = (str, int, bool)
    return _Shape(
        names,
        attrgetter(*(field.name for field in fields)),
        [
            (name, _timestamp if field.type is Time else _tree)
            for name, field in zip(names, fields, strict=True)
            if field.type not in scalars
        ],
    )


def _spelled(name: str, spelling: str) -> str:
    match spelling:
        case "camel":
            return name[0].lower() + name[1:]
        case "lower":
            return name.lower()
    return name


def _timestamp(text: str) -> _Timestamp:
    """Return a time without zeros at the end of its fraction, as Go prints it."""
    seconds, point, rest = text.partition(".")
    digits = rest.rstrip("Z") if rest.endswith("Z") else rest.partition("+")[0].partition("-")[0]
    fraction = digits.rstrip("0")
    return _Timestamp(seconds + (f".{fraction}" if fraction else "") + rest[len(digits) :] if point else text)


def _yaml_lines(value: Any, indent: int) -> Iterator[str]:
    """Yield the lines of a tree as Go's yaml.v3 lays it out; names are in lower case, null is an empty list.

    Below a name the indentation goes to the next multiple of 4; an item of a list begins behind its `- `.
    """
    margin, deeper = " " * indent, indent + _INDENT - indent % _INDENT
    if isinstance(value, dict) and value:
        for name, each in value.items():
            if isinstance(each, dict | list) and each:
                yield f"{margin}{name.lower()}:"
                yield from _yaml_lines(each, deeper)
            else:
                yield f"{margin}{name.lower()}: {_yaml_scalar(each, deeper)}"
    elif isinstance(value, list) and value:
        for each in value:
            lines = _yaml_lines(each, indent + 2)
            yield f"{margin}- {next(lines)[indent + 2 :]}"
            yield from lines
    else:
        yield margin + _yaml_scalar(value, deeper)


def _yaml_scalar(value: Any, indent: int) -> str:
    """Return a scalar, or an empty collection; `indent` is that of the lines of a text with many."""
    if isinstance(value, _Timestamp):
        return value
    if not isinstance(value, str):
        return "[]" if value is None else json.dumps(value)
    if _DIGEST.fullmatch(value):
        return value
    first, *others = _yaml_text(value).split("\n")
    return "\n".join([first, *(each and " " * indent + each for each in others)])


@lru_cache(maxsize=4096)
def _yaml_text(text: str) -> str:
    """Return a text, quoted as Go's yaml.v3 quotes: what would be something else, doubly; lines as a block."""
    import yaml

    resolver = yaml.resolver.Resolver()
    tag: str = resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    style = None
    if tag != "tag:yaml.org,2002:str" or text in {"y", "Y", "n", "N"} or _GO_NUMBER.fullmatch(text):
        style = '"'
    elif "\n" in text:
        # A block that begins with a space needs a number, for which indentation counts.
        style = '"' if text[0].isspace() else "|"
    node = yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)
    written: str = yaml.serialize(node, Dumper=yaml.SafeDumper, allow_unicode=True, width=2**31, indent=_INDENT)
    block = written.removesuffix("...\n").removesuffix("\n")
    return block.replace("\n" + " " * _INDENT, "\n")
