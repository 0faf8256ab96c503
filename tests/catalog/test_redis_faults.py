"""The catalog in Redis when its server dies, is emptied, is full, or has settings that lose what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from contract.catalog.examples import APP, OTHER, V1, digest, layer, push, push_blob, put
from http_client import wait_for
from servers.process import free_port
from servers.redis import RedisServer
from zot.catalog.blob_commands import ClaimBlob, TouchBlob
from zot.catalog.interface import (
    Catalog,
    CatalogError,
    CatalogFullError,
    CatalogUnavailableError,
    CatalogUnusableError,
    LeaseEndedError,
)
from zot.catalog.manifest_commands import Stored
from zot.catalog.redis import script_calls
from zot.catalog.redis.engine import RedisCatalogEngine
from zot.catalog.redis.server import RedisPlace
from zot.catalog.upload_commands import CreateUploadRow
from zot.config.redis_options import redis_options

pytestmark = pytest.mark.needs("redis-server")

DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0"]


def place(server: RedisServer, prefix: str = "zot", parameters: str = "") -> RedisPlace:
    """Return where a catalog is on a server."""
    options, _ = redis_options({"url": f"{server.url}{parameters}", "keyprefix": prefix}, "zot", "cacheDriver")
    return RedisPlace(options)


def engine(server: RedisServer, prefix: str = "zot", store: str = "store", *, is_alone: bool = True) -> Any:
    """Return the engine of a catalog on a server."""
    return RedisCatalogEngine(place(server, prefix), store, is_alone=is_alone)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that keeps what it is given. A test that changes it leaves it as it was."""
    with RedisServer(tmp_path_factory.mktemp("redis"), DURABLE) as running:
        yield running


@pytest.fixture
def admin(server: RedisServer) -> Iterator[redis.Redis]:
    """A client of that server."""
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
async def catalog(server: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[Catalog]:
    """A catalog of each test on that server, opened by the owner of the examples."""
    opened: Catalog = engine(server, request.node.name).open("boot")
    yield opened
    await opened.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls give up at once."""
    monkeypatch.setattr(script_calls, "_LONGEST_S", 0.0)


async def until_it_works(call: Callable[[], Awaitable[Any]]) -> Any:
    """Make a call again until the catalog can be reached."""
    while True:
        try:
            return await call()
        except CatalogUnavailableError:
            await asyncio.sleep(0.02)


def test_settings_that_evict_are_refused(server: RedisServer, admin: redis.Redis) -> None:
    """No start uses a server that may delete a tag to have room for another key; the message names the setting."""
    admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(CatalogUnusableError, match="set maxmemory-policy noeviction"):
            engine(server).begin("one")
    finally:
        admin.config_set("maxmemory-policy", "noeviction")


def test_what_a_power_loss_costs_is_told(server: RedisServer, redis_server: RedisServer, admin: redis.Redis) -> None:
    """Nothing is said of a server that syncs each change; else the warning names what may be lost, and the remedy."""
    assert engine(server).check() == []
    admin.config_set("appendfsync", "everysec")
    try:
        (warning,) = engine(server).check()
    finally:
        admin.config_set("appendfsync", "always")
    assert "a power loss may cost the changes of a second" in warning
    (warning,) = engine(redis_server).check()
    assert "no append-only file" in warning
    assert warning.endswith("set appendonly yes and appendfsync always")


def test_a_server_that_cannot_be_reached_ends_the_start(tmp_path: Path, impatient: None) -> None:
    """The error names the server."""
    del impatient
    away = RedisServer(tmp_path)
    with pytest.raises(CatalogUnavailableError, match=str(away.port)):
        engine(away).begin("one")


async def test_what_was_acknowledged_survives_a_kill(server: RedisServer, catalog: Catalog) -> None:
    """An open catalog goes on by itself once the server is back, and nothing of what was answered is missing."""
    await push_blob(catalog, "layer")
    await push(catalog, "image", layer("layer"), tags=(V1,))
    server.kill()
    command = put("second", layer("layer"))
    storing = asyncio.create_task(until_it_works(lambda: catalog.do(command)))
    await asyncio.sleep(0)
    server.start()
    assert await storing == Stored(created=True, changes=())
    row = await catalog.resolve(APP, V1)
    assert row is not None
    assert row.digest == digest("image")
    assert [each.size for each in await catalog.manifests(APP, "", 9)] == [6, 5]


async def test_a_server_that_is_away_is_unavailable(server: RedisServer, catalog: Catalog, impatient: None) -> None:
    """Reads and changes say so, and work again once it is back."""
    del impatient
    await catalog.do(CreateUploadRow(repository=APP, session="one"))
    server.kill()
    try:
        with pytest.raises(CatalogUnavailableError):
            await catalog.ready()
        with pytest.raises(CatalogUnavailableError):
            await catalog.do(CreateUploadRow(repository=APP, session="two"))
    finally:
        server.start()
    await until_it_works(catalog.ready)
    assert await catalog.upload("one") is not None


async def test_a_lost_script_is_sent_again(catalog: Catalog, admin: redis.Redis) -> None:
    """A server that forgot its scripts learns them with the next call."""
    await push(catalog, "image", tags=(V1,))
    admin.script_flush()
    assert await catalog.resolve(APP, V1) is not None
    admin.script_flush()
    await push(catalog, "second")


async def test_an_emptied_server_is_no_empty_catalog(server: RedisServer, catalog: Catalog, admin: redis.Redis) -> None:
    """Reads and changes of a running server are refused, rather than answered from nothing; a start begins again."""
    await push(catalog, "image", tags=(V1,))
    for key in admin.scan_iter(match=f"{{{server_prefix(catalog)}}}:1:*"):
        admin.delete(key)
    with pytest.raises(CatalogUnavailableError, match="start the server again"):
        await catalog.repository(APP)
    with pytest.raises(CatalogUnavailableError, match="start the server again"):
        await catalog.do(put("image"))
    engine(server, server_prefix(catalog)).begin("next")
    assert await catalog.repository(APP) is None


def server_prefix(catalog: Catalog) -> str:
    """Return the key prefix of a catalog of these tests."""
    del catalog
    return "test_an_emptied_server_is_no_empty_catalog"


async def test_a_full_server_refuses_changes_as_a_whole(catalog: Catalog, admin: redis.Redis) -> None:
    """Reads go on, nothing is changed, and the same command succeeds once there is room."""
    await push(catalog, "image", tags=(V1,))
    admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(CatalogFullError):
            await catalog.do(put("second", tags=(V1,)))
        row = await catalog.resolve(APP, V1)
    finally:
        admin.config_set("maxmemory", 0)
    assert row is not None
    assert row.digest == digest("image")
    assert isinstance(await catalog.do(put("second", tags=(V1,))), Stored)


def test_the_catalog_of_another_store_is_refused(server: RedisServer) -> None:
    """Two stores on one key prefix would serve each other's tags."""
    engine(server, "shared").begin("one")
    with pytest.raises(CatalogUnusableError, match="keyprefix"):
        engine(server, "shared", "other").begin("two")


@pytest.mark.parametrize("is_alone", [True, False])
async def test_a_start_ends_earlier_owners_where_it_is_alone(server: RedisServer, *, is_alone: bool) -> None:
    """Where locks prove that they are gone their claims are refused at once; replicas leave each other alone."""
    prefix = f"owners-{is_alone}"
    first = engine(server, prefix, is_alone=is_alone).open("first")
    second = engine(server, prefix, is_alone=is_alone).open("second")
    claim = ClaimBlob(repository=APP, digest=digest("blob"), token="token", owner="first")
    if is_alone:
        with pytest.raises(LeaseEndedError):
            await first.do(claim)
    else:
        await first.do(claim)
    await second.do(CreateUploadRow(repository=OTHER, session="one"))
    await first.close()
    await second.close()


async def test_a_change_waits_for_a_replica(server: RedisServer, tmp_path: Path, impatient: None) -> None:
    """Where there are replicas a durable change is answered once one has it, and is of unknown outcome else."""
    del impatient
    with (
        RedisServer(tmp_path, ["--replicaof", "127.0.0.1", str(server.port)]) as replica,
        redis.Redis.from_url(replica.url) as seen,
    ):
        wait_for(lambda: seen.info("replication")["master_link_status"] == "up")
        catalog = engine(server, "replicated").open("boot")
        await push(catalog, "image", tags=(V1,))
        replica.freeze()
        try:
            # The collector's marks are no promise to a client.
            assert not await catalog.do(TouchBlob(repository=APP, digest=digest("blob")))
            command = put("second", tags=(V1,))
            with pytest.raises(CatalogUnavailableError, match="0 of 1 replicas"):
                await catalog.do(command)
        finally:
            replica.thaw()
        assert isinstance(await until_it_works(lambda: catalog.do(command)), Stored)
        await catalog.close()


async def test_a_cluster_has_all_of_it_in_one_slot(tmp_path: Path) -> None:
    """Scripts use keys that they do not declare, which a cluster allows where all are of one slot."""
    # By default the port of the cluster is 10,000 above the other: there may be none.
    arguments = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    with RedisServer(tmp_path, arguments) as node, redis.Redis.from_url(node.url) as admin:
        admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_for(lambda: b"cluster_state:ok" in bytes(admin.execute_command("CLUSTER", "INFO", NEVER_DECODE=True)))
        where = place(node, parameters=f"?addr=127.0.0.1:{node.port}")
        assert where.options.is_cluster
        catalog = RedisCatalogEngine(where, "store", is_alone=True).open("boot")
        await push_blob(catalog, "layer")
        await push(catalog, "image", layer("layer"), tags=(V1,))
        assert await catalog.resolve(APP, V1) is not None
        await catalog.close()


async def test_reads_of_one_moment_see_one_state(server: RedisServer, catalog: Catalog) -> None:
    """A block fails if a command came between two of its reads of a repository, and not if it changed another one."""
    await push(catalog, "image", tags=(V1,))
    other = RedisCatalogEngine(place(server, "test_reads_of_one_moment_see_one_state"), "store", is_alone=False)
    writer = other.open("other")
    with catalog.one_moment():
        await catalog.tags(APP, "", 9)
        await push(writer, "elsewhere", repository=OTHER)
        await catalog.tags(APP, "", 9)

    async def torn() -> None:
        with catalog.one_moment():
            await catalog.tags(APP, "", 9)
            await push(writer, "second", tags=(V1,))
            await catalog.tags(APP, "", 9)

    with pytest.raises(CatalogUnavailableError):
        await torn()
    await writer.close()


async def test_a_manifest_may_name_more_than_luas_stack_holds(catalog: Catalog) -> None:
    """Such lists are read in slices; what is missing is told in the order of the manifest."""
    edges = tuple(layer(f"layer {number}", optional=number >= 8500) for number in range(8600))
    refused: Any = await catalog.do(put("large", *edges))
    assert refused.digests == tuple(edge.digest for edge in edges[:8500])
    await push(catalog, "large", *(layer(f"layer {number}", optional=True) for number in range(8600)))


def test_it_is_not_saved(server: RedisServer, tmp_path: Path) -> None:
    """The message names what saves it."""
    with pytest.raises(CatalogError, match="the server's own files"):
        engine(server).require_saving()
    with pytest.raises(CatalogError, match="the server's own files"):
        engine(server).save(tmp_path)
