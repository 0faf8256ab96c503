"""The configuration reference agrees with the models."""

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
# Sub-paths have the keys of the main store, which the reference says in one sentence.
SAME_AS_STORAGE = "storage.subPaths.*"


def documented_keys() -> list[Key]:
    """Return the keys that have a row in the reference."""
    return [key for key in keys_of(Config) if not key.path.startswith(SAME_AS_STORAGE)]


def section_of(key: Key) -> str:
    """Return the heading of a key's section."""
    return key.path.rpartition(".")[0] or "top level"


def attribute_of(key: Key) -> str:
    """Return the attribute's name, which ends in `_s` for durations."""
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
    """Return the type as the reference names it."""
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
    """Return the default as the reference writes it."""
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
    """Return the row of a key in the reference."""
    meaning = key.field.description
    reload = "yes" if key.reload else ""
    return f"| `{key.path.rpartition('.')[2]}` | {type_of(key)} | {default_of(key)} | {meaning} | {reload} |"


def rows_by_section() -> Iterator[tuple[str, str]]:
    """Iterate over the rows of the reference, each with its heading."""
    section = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ `?(.+?)`?$", line):
            section = heading[1].replace("Top", "top")
        elif line.startswith("| `"):
            yield section, line


ROWS = frozenset(rows_by_section())


@pytest.mark.parametrize("key", documented_keys(), ids=lambda key: key.path)
def test_every_key_is_documented(key: Key) -> None:
    """Each key has a row in its section with its type, default, effect, and whether it is reloadable."""
    assert (section_of(key), row_of(key)) in ROWS, f"add below {section_of(key)}:\n{row_of(key)}"


def test_nothing_else_is_documented() -> None:
    """No row is outdated or describes a removed key."""
    sections = {section_of(key) for key in documented_keys()}
    expected = {(section_of(key), row_of(key)) for key in documented_keys()}
    assert {row for row in ROWS if row[0] in sections} <= expected


def test_sub_paths_have_the_keys_of_the_main_store() -> None:
    """Each key of a sub-path is also a key of the main store."""
    below = {
        key.path.removeprefix(f"{SAME_AS_STORAGE}.") for key in keys_of(Config) if key.path.startswith(SAME_AS_STORAGE)
    }
    assert below <= {key.path.removeprefix("storage.") for key in documented_keys()}


def test_own_keys_are_listed() -> None:
    """The reference lists every key that zot does not have, with zot's behavior instead."""
    text = REFERENCE.read_text(encoding="utf-8").partition("## Keys that zot does not have")[2]
    for entry in KEYS:
        if entry.default is not ...:
            assert f"| `{entry.path}` | {entry.lost} |" in text


def test_choices_are_documented() -> None:
    """The row of a key with a fixed set of values names each of them."""
    for key in documented_keys():
        for choice in get_args(key.field.annotation):
            for word in get_args(choice):
                assert not isinstance(word, str) or word in row_of(key)
