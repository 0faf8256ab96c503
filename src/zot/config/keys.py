"""All keys of the configuration by path, derived from the models."""

from __future__ import annotations

from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from zot.config.section import KNOWN_TO_ZOT, RELOAD, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Key:
    """A key. Its `path` has `[]` for the entries of a list and `*` for names that operators choose."""

    path: str
    field: FieldInfo
    reload: bool
    is_own: bool

    @property
    def section(self) -> type[Section] | None:
        """The model of the key's object or objects; None for a plain value."""
        return shape(self.field.annotation)[1]


def shape(annotation: Any) -> tuple[str, type[Section] | None]:
    """Return the container of an annotation (`[]` list, `.*` by name, empty for none) and its section, if any."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return next(filter(lambda found: found != ("", None), map(shape, get_args(annotation))), ("", None))
    if origin is tuple:
        return "[]", shape(get_args(annotation)[0])[1]
    if origin is dict:
        return ".*", shape(get_args(annotation)[1])[1]
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "", annotation
    return "", None


def keys_of(section: type[Section], path: str = "", *, reload: bool = False, is_own: bool = False) -> Iterator[Key]:
    """Iterate over all keys below `section`, each object before its members.

    The members of a reloadable key are reloadable; those of an own key are own keys.
    """
    for field in section.model_fields.values():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        entry = Key(
            f"{path}.{field.alias}" if path else str(field.alias),
            field,
            reload or bool(extra.get(RELOAD)),
            is_own or extra.get(KNOWN_TO_ZOT) is False,
        )
        yield entry
        if entry.section is not None:
            below = entry.path + shape(field.annotation)[0]
            yield from keys_of(entry.section, below, reload=entry.reload, is_own=entry.is_own)


def section_at(root: type[Section], location: tuple[str | int, ...]) -> type[Section] | None:
    """Return the section that contains the last part of `location`, a path of keys, names and list positions."""
    section: type[Section] | None = root
    parts = iter(location[:-1])
    for part in parts:
        field = (
            next((field for field in section.model_fields.values() if field.alias == part), None) if section else None
        )
        if field is None:
            return None
        holding, section = shape(field.annotation)
        if holding:
            next(parts, None)
    return section


def path_text(location: tuple[str | int, ...]) -> str:
    """Format a location, as in `http.accessControl.repositories["**"].policies[0].users`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text
