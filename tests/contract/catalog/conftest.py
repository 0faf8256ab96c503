"""Each driver of the catalog, empty."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contract.catalog.examples import OWNER
from servers.postgres import PostgresServer
from servers.redis import RedisServer
from zot.catalog.interface import Catalog
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import RenewOwner
from zot.catalog.postgres.driver import PostgresCatalog
from zot.catalog.postgres.engine import PostgresCatalogEngine
from zot.catalog.redis.engine import RedisCatalogEngine
from zot.catalog.redis.server import RedisPlace
from zot.catalog.sqlite.driver import connect, open_in_thread
from zot.config.postgres_address import parse_address
from zot.config.redis_options import redis_options
from zot.databases.postgres_pool import PostgresPool


class WriterHost:
    """The process of `writer_host.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("writer_host.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def serve(self, directory: Path, socket: Path) -> None:
        """Let it be the writer of a catalog."""
        self._say(f"serve {directory} {socket} {OWNER}")

    def stop(self, directory: Path) -> None:
        """Let it close that catalog."""
        self._say(f"stop {directory}")
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "stopped\n"

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@pytest.fixture(scope="session")
def writer_host() -> Iterator[WriterHost]:
    """The one process for all catalogs that are written by another process."""
    host = WriterHost()
    yield host
    host.close()


# Cheaper for a few rows than to truncate.
_EMPTY = """
DELETE FROM zot_catalog.repository; DELETE FROM zot_catalog.blob; DELETE FROM zot_catalog.held;
DELETE FROM zot_catalog.claim; DELETE FROM zot_catalog.manifest; DELETE FROM zot_catalog.content;
DELETE FROM zot_catalog.edge; DELETE FROM zot_catalog.tag; DELETE FROM zot_catalog.carried;
DELETE FROM zot_catalog.change_new; DELETE FROM zot_catalog.change_log; DELETE FROM zot_catalog.upload;
DELETE FROM zot_catalog.owner; DELETE FROM zot_catalog.lease; DELETE FROM zot_catalog.remembered;
UPDATE zot_catalog.change_state SET newest = 0, trimmed = 0;
"""


class PostgresCatalogs:
    """A database for one catalog at a time, which is emptied for each."""

    def __init__(self, server: PostgresServer) -> None:
        server.sql("CREATE DATABASE contract")
        self.address = parse_address(server.url("contract"))
        self.engine = PostgresCatalogEngine(self.address, "store", is_alone=True)
        self.engine.begin(OWNER)

    async def open(self) -> Catalog:
        """Open an empty catalog."""
        pool = PostgresPool(self.address)
        async with pool.transaction() as connection:
            await connection.execute(_EMPTY)
        opened = PostgresCatalog(pool, OWNER)
        await opened.do(RenewOwner(owner=OWNER))
        return opened


@pytest.fixture(scope="session")
def postgres_catalogs(postgres_server: PostgresServer) -> PostgresCatalogs:
    """The one database for all catalogs in PostgreSQL."""
    return PostgresCatalogs(postgres_server)


@pytest.fixture(
    params=[
        "memory",
        "sqlite thread",
        "sqlite process",
        "postgres",
        pytest.param("redis", marks=pytest.mark.needs("redis-server")),
    ]
)
async def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalog]:
    """An empty catalog of each kind."""
    match request.param:
        case "memory":
            opened: Catalog = MemoryCatalog(owner=OWNER)
            yield opened
            await opened.close()
        case "sqlite thread":
            opened = open_in_thread(tmp_path, OWNER)
            yield opened
            await opened.close()
        case "redis":
            server: RedisServer = request.getfixturevalue("redis_server")
            # Each test has keys of its own: none is removed, and the server ends with the run.
            options, _ = redis_options({"url": server.url, "keyprefix": secrets.token_hex(8)}, "zot", "cacheDriver")
            opened = RedisCatalogEngine(RedisPlace(options), "store", is_alone=True).open(OWNER)
            yield opened
            await opened.close()
        case "postgres":
            catalogs: PostgresCatalogs = request.getfixturevalue("postgres_catalogs")
            opened = await catalogs.open()
            yield opened
            await opened.close()
        case _:
            host: WriterHost = request.getfixturevalue("writer_host")
            # A socket's path is short; pytest's are not.
            with tempfile.TemporaryDirectory(prefix="zot") as short:
                socket = Path(short) / "writer"
                host.serve(tmp_path, socket)
                opened = connect(tmp_path, socket, OWNER)
                yield opened
                await opened.close()
                host.stop(tmp_path)
