"""Each repository belongs to the store of its route."""

from __future__ import annotations

from pathlib import Path

import pytest

from zot.config.storage import StorageConfig
from zot.config.store_table import StoreTable
from zot.oci.names import parse_repository


def table(root: Path) -> StoreTable:
    """Return a main store and two sub-paths that share a root."""
    sub_paths = {"/a": {"rootDirectory": str(root / "sub")}, "/b": {"rootDirectory": str(root / "sub" / ".")}}
    return StoreTable(StorageConfig.model_validate({"rootDirectory": str(root / "main"), "subPaths": sub_paths}))


@pytest.mark.parametrize(
    ("name", "route", "below"),
    [("a/app", "/a", "sub"), ("b/x/y", "/b", "sub"), ("a", "/", "main"), ("c/a", "/", "main")],
)
def test_the_first_component_of_a_name_is_its_route(tmp_path: Path, name: str, route: str, below: str) -> None:
    """A name of one component, or without a matching route, belongs to the main store."""
    entry = table(tmp_path).of(parse_repository(name))
    assert (entry.route, entry.root) == (route, str(tmp_path / below))


def test_a_shared_root_is_listed_once(tmp_path: Path) -> None:
    """Each root is listed once, the main store's first."""
    assert table(tmp_path).roots == (str(tmp_path / "main"), str(tmp_path / "sub"))
