"""Configuration files are converted for zot."""

from __future__ import annotations

import json
from pathlib import Path

from zot.config.for_zot import for_zot
from zot.config.keys import keys_of
from zot.config.load import load_tree
from zot.config.model import Config
from zot.config.own_keys import KEYS
from zot.config.parse import parse_tree

OWN_FILE = {
    "Storage": {"rootDirectory": "/data", "COMMIT": True, "catalog": {"directory": "/fast"}, "minFreeBytes": 1},
    "http": {
        "port": "5000",
        "compat": [],
        "limits": {"maxPageSize": 5},
        "accessControl": {
            "immutableTags": [{"repositories": ["**"]}],
            "repositories": {"**": {"anonymousPolicy": ["read"]}},
        },
    },
    "log": {"format": "json"},
    "extensions": {},
}
ZOT_FILE = {
    "Storage": {"rootDirectory": "/data", "COMMIT": True},
    "http": {
        "port": "5000",
        "compat": [],
        "accessControl": {"repositories": {"**": {"anonymousPolicy": ["read"]}}},
    },
    "extensions": {},
}


def test_own_keys_are_removed_and_named(tmp_path: Path) -> None:
    """The keys that zot would refuse are removed, and for each of them a line says what changes."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(OWN_FILE), encoding="utf-8")
    found = for_zot(path)
    assert json.loads(found.text) == ZOT_FILE
    assert [line.partition(":")[0] for line in found.lost] == [
        "storage.catalog", "storage.minFreeBytes", "http.limits", "http.accessControl.immutableTags", "log.format",
    ]  # fmt: skip


def test_yaml_stays_yaml(tmp_path: Path) -> None:
    """A YAML file is converted to YAML, a TOML file to JSON."""
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(OWN_FILE), encoding="utf-8")
    found = for_zot(path)
    assert parse_tree(found.text.encode(), "yaml", "") == ZOT_FILE
    assert not found.text.startswith("{")
    path = tmp_path / "config.toml"
    path.write_text('[storage]\nrootDirectory = "/data"\nreadOnly = true\n', encoding="utf-8")
    assert json.loads(for_zot(path).text) == {"storage": {"rootDirectory": "/data"}}


def test_other_defaults_are_named(tmp_path: Path) -> None:
    """An absent key whose default differs in zot is named."""
    path = tmp_path / "config.json"
    path.write_text('{"storage": {"rootDirectory": "/data"}}', encoding="utf-8")
    assert [line.split(" ")[0] for line in for_zot(path).lost] == ["storage.commit", "http.compat"]


def test_every_key_of_the_table_is_removed(tmp_path: Path) -> None:
    """Every own key is removed, together with objects that become empty."""
    path = tmp_path / "config.json"
    tree: dict[str, object] = {"storage": {"rootDirectory": "/data"}}
    for entry in KEYS:
        if "[]" not in entry.path:
            place: dict[str, object] = tree
            *parents, name = entry.path.split(".")
            for parent in parents:
                below = place.setdefault(parent, {})
                assert isinstance(below, dict)
                place = below
            place.setdefault(name, {})
    path.write_text(json.dumps(tree), encoding="utf-8")
    assert json.loads(for_zot(path).text) == {"storage": {"rootDirectory": "/data"}}
    assert {entry.path for entry in KEYS} <= {key.path for key in keys_of(Config)}


def test_the_models_have_the_defaults_of_the_table() -> None:
    """A configuration without own keys has the defaults of the table."""
    config = load_tree({"storage": {"rootDirectory": "/data"}}).config
    assert config.storage.min_free_bytes == 512 << 20
    assert config.http.limits.max_manifest_bytes == 4 << 20
    assert config.http.drain_timeout_s == 25
    assert config.http.workers is None
