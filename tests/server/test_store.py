"""A store is opened by the same steps for a server, for a command, and for tests."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from admin.harness import Client, Place
from zot.catalog.interface import CatalogError
from zot.config.load import load_tree
from zot.config.model import Config
from zot.server.plan import ServerPlan, make_plan
from zot.server.store import claim_store, open_store
from zot.storage.interface import StorageError
from zot.storage.lock import RootInUseError
from zot.testing import serve

NO_DATABASE = b"no database" * 1000


def damage(root: Path) -> Path:
    """Overwrite the statistics of a store; return their path."""
    path = root / ".zot" / "activity.db"
    for suffix in ("-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    path.write_bytes(NO_DATABASE)
    return path


def configured(root: Path) -> tuple[Config, ServerPlan]:
    """Return a configuration and a plan of it."""
    storage = {"rootDirectory": str(root), "minFreeBytes": 0, "minFreePercent": 0}
    config = load_tree({"storage": storage, "log": {"level": "error"}}).config
    return config, make_plan(config, None, workers=0, read_only=False)


@pytest.mark.parametrize("arguments", [("gc",), ("scrub",), ("usage",), ("gc", "--dry-run")])
def test_damaged_statistics_heal_in_a_command(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Without a server a command sets them aside as a start does, says so, and does its work."""
    place = Place(tmp_path, {})
    with place.serve() as registry:
        Client(registry).push("layer", "v1")
    damaged = damage(place.root)
    said = place.zot(*arguments)
    kept = damaged.with_name("activity.db.damaged")
    assert f"Warning: {damaged} is damaged: it is kept as {kept}" in said
    assert kept.read_bytes() == NO_DATABASE
    assert "damaged" not in place.zot("gc")


def test_damaged_statistics_heal_in_a_test(tmp_path: Path) -> None:
    """`zot.testing` serves a store whose statistics are damaged."""
    root = tmp_path / "content"
    with serve(root):
        pass
    damaged = damage(root)
    with serve(root) as registry:
        assert Client(registry).ask("GET", "/v2/_catalog") == (200, b'{"repositories":[]}')
    assert damaged.with_name("activity.db.damaged").read_bytes() == NO_DATABASE


async def test_a_store_is_held_for_the_block(tmp_path: Path) -> None:
    """No other process may open it during the block; afterwards one may."""
    config, plan = configured(tmp_path / "data")
    async with open_store(config, plan) as store:
        await store.storage.ready()
        assert dict(store.plan.stores)[str(tmp_path / "data")]
        with pytest.raises(RootInUseError):
            async with open_store(config, plan):
                pass
    async with open_store(config, plan) as store:
        await store.catalog.ready()


async def test_where_no_store_is_none_is_made_for_a_command(tmp_path: Path) -> None:
    """Only a start and a restore make a store: a wrong path is an error, and stays as it is."""
    config, plan = configured(tmp_path / "data")
    with pytest.raises(StorageError, match="does not exist"):
        async with open_store(config, plan, must_exist=True):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_a_command_does_not_rebuild_a_damaged_catalog(tmp_path: Path) -> None:
    """It would go on with a catalog that lacks nearly everything: a start rebuilds it, with what layouts have."""
    config, plan = configured(tmp_path / "data")
    async with open_store(config, plan):
        pass
    database = plan.state.catalog_database
    database.with_name("catalog.db-wal").unlink(missing_ok=True)
    database.write_bytes(NO_DATABASE)
    with pytest.raises(StorageError, match="is damaged"):
        async with open_store(config, plan, must_exist=True):
            pass
    assert database.read_bytes() == NO_DATABASE


async def test_an_error_while_it_opens_lets_the_next_one_open(tmp_path: Path) -> None:
    """The locks are released, and the logs closed, when a part cannot be opened."""
    config, plan = configured(tmp_path / "data")
    handlers = list(logging.getLogger().handlers)
    plan.state.catalog_database.mkdir(parents=True)
    with pytest.raises(CatalogError):
        async with open_store(config, plan):
            pass
    assert logging.getLogger().handlers == handlers
    plan.state.catalog_database.rmdir()
    async with open_store(config, plan):
        pass


def test_a_root_that_is_another_store_is_named(tmp_path: Path) -> None:
    """The start goes on, and tells the operator which store is not used until it is right."""
    _, plan = configured(tmp_path / "data")
    with claim_store(plan):
        pass
    (tmp_path / "data" / ".zot" / "store.json").write_text(json.dumps({"store": "another"}))
    notices: list[str] = []
    with claim_store(plan, notify=notices.append):
        pass
    (notice,) = notices
    assert notice.startswith(f"{tmp_path / 'data'} is store another, ")
    assert notice.endswith("what needs this store is answered with 503.")
