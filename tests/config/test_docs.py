"""The reference of the configuration keeps up with the models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic_core import PydanticUndefined

from zot.config.durations import format_seconds
from zot.config.keys import Key, keys_of, shape
from zot.config.model import Config
from zot.config.own_keys import KEYS
from zot.config.section import Section

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
BEYOND = {entry.path: entry for entry in KEYS}
# The keys of a sub-path are those of the main store: one sentence says so.
SAME_AS_STORAGE = "storage.subPaths.*"


def documented_keys() -> list[Key]:
    """Return every key that has a row of its own."""
    return [key for key in keys_of(Config) if not key.path.startswith(SAME_AS_STORAGE)]


def section_of(key: Key) -> str:
    """Return the heading below which a key stands."""
    return key.path.rpartition(".")[0] or "top level"


def attribute_of(key: Key) -> str:
    """Return the attribute's name, whose end tells durations."""
    owner: type[Section] = Config
    for part in key.path.split(".")[:-1]:
        if part != "*":
            owner = next(
                section
                for field in owner.model_fields.values()
                if field.alias == part.removesuffix("[]") and (section := shape(field.annotation)[1])
            )
    return next(name for name, field in owner.model_fields.items() if field.alias == key.path.rpartition(".")[2])


def type_of(key: Key) -> str:
    """Return the type as people call it."""
    if key.path in BEYOND:
        return BEYOND[key.path].unit
    holding, section = shape(key.field.annotation)
    if section is not None:
        return {"": "object", "[]": "list of objects", ".*": "objects by name"}[holding]
    text = str(key.field.annotation)
    if attribute_of(key).endswith("_s") and "float" in text:
        return "duration"
    if "dict" in text:
        return "object"
    if "tuple" in text:
        return "list"
    kinds = {"bool": "bool", "int": "integer", "float": "number"}
    return next((kind for name, kind in kinds.items() if re.search(rf"\b{name}\b", text)), "string")


def default_of(key: Key) -> str:
    """Return the default as people write it."""
    if key.path in BEYOND and BEYOND[key.path].default_text:
        return BEYOND[key.path].default_text
    default: Any = key.field.default
    if default is PydanticUndefined or default is ...:
        return "mandatory"
    if default in (None, "", (), {}) or isinstance(default, Section):
        return ""
    if type_of(key) == "duration":
        return f"`{re.sub(r'(?<=[hm])0[ms]', '', format_seconds(default))}`"
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def row_of(key: Key) -> str:
    """Return the row of a key, as it stands in the reference."""
    meaning = key.field.description
    reload = "yes" if key.reload else ""
    return f"| `{key.path.rpartition('.')[2]}` | {type_of(key)} | {default_of(key)} | {meaning} | {reload} |"


def rows_by_section() -> Iterator[tuple[str, str]]:
    """Yield the rows that the reference has, each with the heading above it."""
    section = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ `?(.+?)`?$", line):
            section = heading[1].replace("Top", "top")
        elif line.startswith("| `"):
            yield section, line


ROWS = frozenset(rows_by_section())


@pytest.mark.parametrize("key", documented_keys(), ids=lambda key: key.path)
def test_every_key_is_documented(key: Key) -> None:
    """Each key stands below its section's heading with its type, default, effect, and whether it is reloaded."""
    assert (section_of(key), row_of(key)) in ROWS, f"add below {section_of(key)}:\n{row_of(key)}"


def test_nothing_else_is_documented() -> None:
    """No row describes a key that is gone, or what it once was."""
    sections = {section_of(key) for key in documented_keys()}
    expected = {(section_of(key), row_of(key)) for key in documented_keys()}
    assert {row for row in ROWS if row[0] in sections} <= expected


def test_sub_paths_have_no_keys_of_their_own() -> None:
    """The sentence that sub-paths have the keys of the main store stays true."""
    below = {
        key.path.removeprefix(f"{SAME_AS_STORAGE}.") for key in keys_of(Config) if key.path.startswith(SAME_AS_STORAGE)
    }
    assert below <= {key.path.removeprefix("storage.") for key in documented_keys()}


def test_keys_beyond_zot_are_told_apart() -> None:
    """The reference lists every key that zot does not have, with what is lost by going back."""
    text = REFERENCE.read_text(encoding="utf-8").partition("## Keys that zot does not have")[2]
    for entry in KEYS:
        if entry.default is not ...:
            assert f"| `{entry.path}` | {entry.lost} |" in text


def test_choices_are_not_only_types() -> None:
    """A key that takes one of a few words names them."""
    for key in documented_keys():
        for choice in get_args(key.field.annotation):
            for word in get_args(choice):
                assert not isinstance(word, str) or word in row_of(key)
