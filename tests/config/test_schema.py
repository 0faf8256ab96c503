"""The JSON Schema accepts valid configurations and refuses mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from zot.config.keys import keys_of
from zot.config.model import Config
from zot.config.own_keys import KEYS
from zot.config.parse import read_tree
from zot.config.schema import schema

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/**/config-*.*"))


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """Return the schema after a round trip through JSON."""
    parsed: dict[str, Any] = json.loads(json.dumps(schema()))
    return parsed


def test_is_a_schema_of_draft_7(made: dict[str, Any]) -> None:
    """The schema is a valid JSON Schema of the draft that it names."""
    assert made["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(made)


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if "credentials" not in path.name], ids=lambda path: path.name
)
def test_examples_conform(made: dict[str, Any], path: Path) -> None:
    """Every example configuration conforms to the schema."""
    jsonschema.Draft7Validator(made).validate(read_tree(path))


@pytest.mark.parametrize(
    "tree",
    [
        {"htp": {}},
        {"http": {"prot": "1"}},
        {"http": {"readTimeout": 60}},
        {"storage": {"gc": "maybe"}},
        {"log": {"format": "xml"}},
    ],
)
def test_mistakes_do_not_conform(made: dict[str, Any], tree: dict[str, Any]) -> None:
    """Unknown keys and wrong types do not conform."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(made).validate(tree)


def test_keys_in_lower_case_conform(made: dict[str, Any]) -> None:
    """A configuration with keys in lower case conforms."""
    jsonschema.Draft7Validator(made).validate({"storage": {"rootdirectory": "/x", "gcdelay": "1h"}})


def test_durations_are_strings(made: dict[str, Any]) -> None:
    """A duration is a string, and so is its default."""
    delay = made["definitions"]["StorageConfig"]["properties"]["gcDelay"]
    assert delay["type"] == "string"
    assert delay["default"] == "1h0m0s"


def test_own_keys_are_marked(made: dict[str, Any]) -> None:
    """Exactly the keys of the table are marked as unknown to zot."""
    marked = {key.path for key in keys_of(Config) if key.is_own}
    assert marked == {entry.path for entry in KEYS}
    assert made["definitions"]["HttpConfig"]["properties"]["workers"]["x-zot"] is False
    assert "x-zot" not in made["definitions"]["HttpConfig"]["properties"]["port"]
