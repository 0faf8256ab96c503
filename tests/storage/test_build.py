"""Building the storage from the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from zot.config.storage import StorageConfig as Configuration
from zot.oci.names import parse_repository
from zot.storage.build import build
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import StorageError
from zot.storage.per_store import PerStoreStorage
from zot.storage.threads import ThreadPools


def configuration(root: Path, **sub_paths: Path) -> Configuration:
    """Return a `storage` section with these sub-paths."""
    return Configuration.model_validate(
        {
            "rootDirectory": str(root),
            "subPaths": {f"/{name}": {"rootDirectory": str(path)} for name, path in sub_paths.items()},
        }
    )


def test_without_sub_paths_there_is_one_store(tmp_path: Path, pools: ThreadPools) -> None:
    """A plain configuration has no routing."""
    storage = build(configuration(tmp_path / "data"), pools)
    assert isinstance(storage, FilesystemStorage)
    assert storage.root == str(tmp_path / "data")


def test_routes_with_one_root_share_it(tmp_path: Path, pools: ThreadPools) -> None:
    """Sub-paths with the same root have one store, in which content is shared."""
    shared, own = tmp_path / "shared", tmp_path / "own"
    storage = build(configuration(tmp_path / "data", a=shared, b=shared / ".", c=own), pools)
    assert isinstance(storage, PerStoreStorage)
    one, two, three = (parse_repository(name) for name in ("a/one", "b/two", "c/three"))
    assert storage.same_root(one, two)
    assert not storage.same_root(one, three)
    assert not storage.same_root(one, parse_repository("d/four"))


async def test_known_stores_are_expected(tmp_path: Path, pools: ThreadPools) -> None:
    """A root whose identity is known must be that store: here its disk is not mounted."""
    expected = {str(tmp_path / "infra"): "d5b3c1a8-0000-4000-8000-000000000000"}
    storage = build(configuration(tmp_path / "data", infra=tmp_path / "infra"), pools, expected)
    with pytest.raises(StorageError, match="is its disk mounted"):
        await storage.ready()
