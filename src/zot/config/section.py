"""Base of all sections: zot's spelling of keys and leniency with types, no unknown keys."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr, model_validator

from zot.config.masking import mask
from zot.config.own_keys import own_key_at

if TYPE_CHECKING:
    from collections.abc import Iterator

RELOAD = "x-reload"
KNOWN_TO_ZOT = "x-zot"

T = TypeVar("T")

# Looking for plugins of pydantic among all packages that are installed would be a twentieth of a start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")


class Section(BaseModel):
    """An object of the configuration file; immutable.

    Keys match in any case; `null` means absent; an unknown key is an error. `model_fields_set` holds the keys of the
    file, without defaults. Attributes are named as in Python, keys (the aliases) as in zot.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        validate_by_name=True,
        validate_by_alias=True,
        # Without a configuration file most models are never used.
        defer_build=True,
        # Errors are logged, and the value may be a password.
        hide_input_in_errors=True,
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Mask secrets, since a configuration may occur in logs and error messages."""
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            yield name, mask(value, str(field.alias) if field else "")

    @model_validator(mode="before")
    @classmethod
    def _spell_keys(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        spelling = _spelling(cls)
        spelled = {}
        for name, value in data.items():
            known = spelling.get(name.lower()) if isinstance(name, str) else None
            if value is None and (known or name in cls.model_fields):
                continue
            spelled[known or name] = value
        return spelled


@cache
def _spelling(section: type[Section]) -> dict[str, str]:
    return {str(field.alias).lower(): str(field.alias) for field in section.model_fields.values()}


def zot_key(name: str, default: Any = ..., *, doc: str, reload: bool = False) -> Any:
    """Return the field of a key that zot has.

    `doc` is its line in the reference and the schema; with `reload` a change takes effect without a restart.
    """
    return Field(default, alias=name, description=doc, json_schema_extra={RELOAD: reload})


def own_key(path: str, *, default: Section | None = None, reload: bool = False) -> Any:
    """Return the field of a key that zot does not have, as described in `own_keys`.

    `default` is the section of defaults if the key holds an object.
    """
    entry = own_key_at(path)
    return Field(
        entry.default if default is None else default,
        alias=entry.name,
        description=entry.meaning,
        json_schema_extra={RELOAD: reload, KNOWN_TO_ZOT: False},
    )


def _listed(value: object) -> object:
    """Wrap a single value in a list; an empty string or object is an empty list."""
    if isinstance(value, list | tuple):
        return value
    if value is None or value in ("", {}):
        return ()
    return (value,)


def _flag(value: object) -> object:
    """Convert an empty string to false, as zot does; other values are left to pydantic."""
    return False if value == "" else value


def _driver(value: object) -> object:
    """Convert an empty driver object to None, as zot does."""
    return None if value == {} else value


Listed = Annotated[tuple[T, ...], BeforeValidator(_listed)]
"""A list in the file, or a single value that stands for a list of one."""

Flag = Annotated[bool, BeforeValidator(_flag)]
"""A bool in the file, or its text or number."""

DriverOptions = Annotated[dict[str, Any] | None, BeforeValidator(_driver)]
"""A driver's `name` and parameters, with keys in lower case; the driver defines which parameters there are."""

Secret = Annotated[
    SecretStr,
    PlainSerializer(lambda secret: "******" if secret.get_secret_value() else "", return_type=str),
]
"""A text that is masked wherever it is printed; `get_secret_value()` returns it."""
