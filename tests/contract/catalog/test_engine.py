"""What every engine of a catalog does for a start."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from servers.postgres import PostgresServer
from zot.catalog.engine import CatalogEngine
from zot.catalog.interface import CatalogError
from zot.catalog.memory.engine import MemoryCatalogEngine
from zot.catalog.postgres.engine import PostgresCatalogEngine
from zot.catalog.sqlite.engine import SqliteCatalogEngine
from zot.catalog.upload_commands import CreateUploadRow
from zot.config.postgres_address import parse_address
from zot.config.state_directory import StateDirectory
from zot.config.storage import StorageConfig
from zot.oci.names import parse_repository

APP = parse_repository("app")


def create(name: str) -> CreateUploadRow:
    """Return a change that creates a repository."""
    return CreateUploadRow(repository=parse_repository(name), session=name)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> CatalogEngine:
    """Return each engine, where there is no catalog yet."""
    if request.param == "memory":
        return MemoryCatalogEngine()
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database = f"engine_{secrets.token_hex(4)}"
        server.sql(f"CREATE DATABASE {database}")
        return PostgresCatalogEngine(parse_address(server.url(database)), "store", is_alone=True)
    return SqliteCatalogEngine(StateDirectory.of(StorageConfig(root_directory=str(tmp_path / "data"))))


async def test_what_is_opened_is_a_catalog(engine: CatalogEngine) -> None:
    """It is ready at once, and takes changes."""
    assert not engine.exists()
    catalog = engine.open("boot")
    await catalog.ready()
    assert await catalog.repository(APP) is None
    await catalog.close()
    assert engine.exists() or not engine.needs_writer
    assert engine.damage() is None or not engine.needs_writer


def test_a_start_holds_its_boot(engine: CatalogEngine) -> None:
    """What a start begins holds the boot of that start, and is whole."""
    assert engine.begin("one") == "one"
    assert engine.begin("two") == "two"
    assert engine.damage() is None


async def test_a_saved_copy_is_the_catalog_of_its_moment(tmp_path: Path) -> None:
    """It has what was there, and no later change; saving again replaces it."""
    engine = SqliteCatalogEngine(StateDirectory.of(StorageConfig(root_directory=str(tmp_path / "data"))))
    target = tmp_path / "saved"
    target.mkdir()
    catalog = engine.open("boot")
    for name in ("one", "two"):
        await catalog.do(create(name))
        assert engine.save(target) == ["catalog.db"]
        await catalog.do(create(f"later-{name}"))
    await catalog.close()
    saved = engine.open_saved(target)
    assert await saved.repositories("", 10) == ["later-one", "one", "two"]
    await saved.close()


def test_the_memory_of_a_process_is_not_saved(tmp_path: Path) -> None:
    """It is refused, rather than lost."""
    with pytest.raises(CatalogError, match="memory of one process"):
        MemoryCatalogEngine().save(tmp_path)
