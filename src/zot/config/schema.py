"""JSON Schema (draft 7) of the configuration, for editors and checks before a roll-out."""

from __future__ import annotations

from typing import Any

from zot.config.durations import format_seconds
from zot.config.model import Config

DRAFT = "http://json-schema.org/draft-07/schema#"

Schema = dict[str, Any]


def schema() -> Schema:
    """Return the JSON Schema of the configuration.

    Durations are strings and unknown keys are refused. Each key occurs in zot's spelling and in lower case, although
    the server accepts any case. Keys that zot does not have are marked `x-zot: false`, and `x-reload` says whether a
    change takes effect without a restart.
    """
    made = Config.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions: dict[str, Schema] = made.pop("$defs")
    return {
        "$schema": DRAFT,
        "title": "zot config schema",
        **_tidy(made),
        "definitions": {name: _tidy(definition) for name, definition in sorted(definitions.items())},
    }


def _tidy(section: Schema) -> Schema:
    """Return a section's schema without pydantic's titles, and with each key also in lower case."""
    properties = {name: _tidy_property(prop) for name, prop in section["properties"].items()}
    lowered = {name.lower(): prop for name, prop in properties.items()}
    return {name: value for name, value in section.items() if name != "title"} | {"properties": lowered | properties}


def _tidy_property(prop: Schema) -> Schema:
    tidy = {name: value for name, value in prop.items() if name != "title"}
    default = tidy.get("default")
    if default is None or isinstance(default, dict):
        # The members have their own defaults.
        tidy.pop("default", None)
    elif isinstance(default, float) and tidy.get("type") == "string":
        tidy["default"] = format_seconds(default)
    return tidy
