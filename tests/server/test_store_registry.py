"""A server knows its stores again, and notices a catalog of earlier times."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from zot.config.state_directory import StateDirectory
from zot.config.storage import CatalogConfig, StorageConfig
from zot.server.store_registry import catalog_is_older, known_stores
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import StorageError
from zot.storage.threads import ThreadPools


@pytest.fixture
def state(tmp_path: Path, root: Path) -> StateDirectory:
    """Return the paths of a catalog whose directory is on another disk than the store."""
    state = StateDirectory.of(
        StorageConfig(root_directory=str(root), catalog=CatalogConfig(directory=str(tmp_path / "catalog")))
    )
    state.catalog.mkdir()
    return state


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of a store."""
    directory = tmp_path / "store"
    directory.mkdir()
    return directory


def test_a_root_keeps_its_identity_from_start_to_start(state: StateDirectory, root: Path) -> None:
    """What was made at the first start is expected at every later one."""
    first = known_stores(state, [str(root)])
    assert known_stores(state, [str(root)]) == first
    assert first[str(root)]


async def test_a_root_whose_disk_is_not_mounted_is_not_taken_for_an_empty_store(
    state: StateDirectory, root: Path
) -> None:
    """An empty directory where a store was expected serves nothing, and nothing is written to it."""
    expected = known_stores(state, [str(root)])
    shutil.rmtree(root)
    root.mkdir()
    expected = known_stores(state, [str(root)])
    pools = ThreadPools()
    storage = FilesystemStorage(str(root), pools, expected=expected[str(root)])
    with pytest.raises(StorageError, match="is its disk mounted"):
        await storage.ready()
    assert list(root.iterdir()) == []
    await storage.close()
    pools.close()


def test_a_damaged_list_of_stores_is_said_and_kept(state: StateDirectory, root: Path) -> None:
    """What cannot be read is not replaced by what happens to be there."""
    state.stores.write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        known_stores(state, [str(root)])
    assert state.stores.read_text() == "{"


def test_a_catalog_from_a_backup_is_older_than_its_store_once(state: StateDirectory, root: Path) -> None:
    """It is noticed at the first start on both, and not again when they have started together."""
    (root / ".zot").mkdir()
    assert not catalog_is_older(state, [str(root)])
    backup = state.epoch.read_text()
    assert not catalog_is_older(state, [str(root)])
    state.epoch.write_text(backup)
    assert catalog_is_older(state, [str(root)])
    assert not catalog_is_older(state, [str(root)])


def test_a_catalog_within_its_only_store_is_as_old_as_that(root: Path) -> None:
    """Both were copied together, so there is nothing to compare."""
    state = StateDirectory.of(StorageConfig(root_directory=str(root)))
    state.catalog.mkdir()
    assert not catalog_is_older(state, [str(root)])
    assert not catalog_is_older(state, [str(root)])
