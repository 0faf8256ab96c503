"""The laws of engines that replicas share: what one replica stores every other one knows."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.shared_engines import SHARED_ENGINES, replicas
from servers.postgres import PostgresServer
from servers.redis import RedisServer
from zot.accounts.engine import AccountsEngine
from zot.accounts.interface import AccountsUnavailableError, ApiKey, User
from zot.accounts.postgres_engine import PostgresAccountsEngine
from zot.accounts.redis_engine import RedisAccountsEngine
from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.accounts.sessions.session import Session, Sessions
from zot.config.secret_files import SessionKeys
from zot.foundation.threads import ThreadPool
from zot.oci.digest import digest_of
from zot.oci.names import Repository
from zot.statistics.interface import Statistic, StatisticsUnavailableError
from zot.statistics.recorder import StatisticsRecorder

APP, OTHER = Repository("team/app"), Repository("other")
DIGEST = digest_of(b"manifest")
KEY = ApiKey("1", "alice", "aa", "ci", ("repository:team/app:pull",), 10.0, None, 15.5, "curl/8")


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Threads, which these engines do not need."""
    pool = ThreadPool("shared", 1, 64)
    yield pool
    pool.close()


@pytest.fixture(params=SHARED_ENGINES)
def engines(request: pytest.FixtureRequest) -> tuple[AccountsEngine, AccountsEngine]:
    """The engines of two replicas with one configuration."""
    return replicas(request, request.param)


async def test_an_api_key_made_on_one_replica_is_valid_on_another(
    engines: tuple[AccountsEngine, AccountsEngine], pool: ThreadPool
) -> None:
    """With groups, scopes and last use; and it is gone everywhere once it is deleted."""
    one, other = (each.open_accounts(pool) for each in engines)
    await one.record_login("alice", ["dev"], "htpasswd")
    await one.add_key(KEY)
    found = await other.key("aa")
    assert found is not None
    assert (found.key, found.user) == (KEY, User("alice", ("dev",), origin="htpasswd"))
    assert await other.delete_key("alice", "1")
    assert await one.key("aa") is None
    await one.close()
    await other.close()


async def test_stars_of_all_replicas_are_counted(
    engines: tuple[AccountsEngine, AccountsEngine], pool: ThreadPool
) -> None:
    """Toggles by several replicas at once are each carried out exactly once."""
    both = [each.open_accounts(pool) for each in engines]
    users = [f"user-{number}" for number in range(20)]
    starred = await asyncio.gather(*(both[number % 2].toggle_star(name, APP) for number, name in enumerate(users)))
    assert all(starred)
    await both[0].toggle_star(users[0], OTHER)
    await both[1].delete_user(users[0])
    assert await both[0].star_counts() == {APP: 19}
    for each in both:
        await each.close()


async def test_a_browser_is_logged_in_on_every_replica(
    engines: tuple[AccountsEngine, AccountsEngine], pool: ThreadPool
) -> None:
    """A session begun on one is known to the other, is ended there, and both sign with one secret."""
    stores = [each.open_sessions(pool, None) for each in engines]
    one, other = map(Sessions, stores)
    session_id = await one.start(Session("alice", "htpasswd", 10.0, ("dev",)))
    assert await other.find(session_id) == Session("alice", "htpasswd", 10.0, ("dev",))
    assert await one.secret() == await other.secret()
    assert [each.session.user async for each in other.all()] == ["alice"]
    assert await other.revoke(user="alice") == 1
    assert await one.find(session_id) is None
    for each in stores:
        await each.close()


@pytest.mark.parametrize("keys", [{"hashKey": "h" * 32, "encryptKey": "e" * 32}, {"encryptKey": "e" * 32}])
async def test_session_keys_protect_shared_sessions(
    engines: tuple[AccountsEngine, AccountsEngine], pool: ThreadPool, keys: dict[str, str]
) -> None:
    """Replicas with the keys of one file know each other's sessions; a replica with other keys knows none."""
    others = {name: key.replace(key[0], "x") for name, key in keys.items()}
    one, other = (each.open_sessions(pool, SessionKeys.model_validate(keys)) for each in engines)
    stranger = engines[1].open_sessions(pool, SessionKeys.model_validate(others))
    session_id = one.new_id()
    await one.put(session_id, b"value", 60)
    assert await other.get(session_id) == b"value"
    assert await one.secret() == await other.secret() != await stranger.secret()
    assert await stranger.get(session_id) is None
    assert await stranger.get(session_id.partition(".")[0]) is None
    unsealed = engines[1].open_sessions(pool, None)
    assert b"value" not in (await unsealed.get(session_id.partition(".")[0]) or b"value")
    for each in (one, other, stranger, unsealed):
        await each.close()


async def test_counts_of_all_replicas_add_up(engines: tuple[AccountsEngine, AccountsEngine], pool: ThreadPool) -> None:
    """Whichever replica stores its counts first; times keep all their digits."""
    stores = [each.open_statistics(pool) for each in engines]
    recorders = [
        StatisticsRecorder(stores[0], lambda: 1764379285.123457),
        StatisticsRecorder(stores[1], lambda: 1764379284.654321),
    ]
    for recorder in recorders * 3:
        recorder.record_pull(APP, DIGEST)
    recorders[1].record_push(APP, DIGEST, "alice|bob")
    await asyncio.gather(*(each.flush() for each in recorders))
    assert await stores[0].of(APP, DIGEST) == Statistic(DIGEST, 6, 1764379285.123457, 1764379284.654321, "alice|bob")
    for each in stores:
        await each.close()


async def test_pulls_of_one_time_are_followed_by_pages(
    engines: tuple[AccountsEngine, AccountsEngine], pool: ThreadPool
) -> None:
    """A page that ends between manifests of the same time is followed by the rest of them."""
    store = engines[0].open_statistics(pool)
    names = [Repository(name) for name in ("a", "a-b", "a/b", "a0", "b", "b/a")]
    await store.add({(name, DIGEST): Statistic(DIGEST, 1, 20.5) for name in names} | {(APP, DIGEST): Statistic(DIGEST)})
    await store.add({(OTHER, DIGEST): Statistic(DIGEST, 1, 30.0)})
    found: list[Repository] = []
    after = None
    while rows := await store.pulled_after(after, 2):
        found += [repository for repository, _ in rows]
        after = (rows[-1][1].pulled_s or 0.0, rows[-1][0], rows[-1][1].digest)
    assert found == [*names, OTHER]
    await store.forget(names[0])
    assert [repository for repository, _ in await store.pulled_after(None, 3)] == names[1:4]
    await store.close()


@pytest.mark.needs("redis-server")
async def test_redis_that_goes_away_is_an_error_until_it_is_back(tmp_path: Path, pool: ThreadPool) -> None:
    """A call fails with the error of its store and is not repeated later; the next one connects again."""
    with RedisServer(tmp_path, ["--appendonly", "yes", "--appendfsync", "always"]) as server:
        engine = RedisAccountsEngine({"name": "redis", "url": server.url})
        accounts, statistics, sessions = (
            engine.open_accounts(pool),
            engine.open_statistics(pool),
            engine.open_sessions(pool, None),
        )
        await accounts.add_key(KEY)
        await statistics.add({(APP, DIGEST): Statistic(DIGEST, 1, 20.0)})
        server.kill()
        with pytest.raises(AccountsUnavailableError):
            await accounts.toggle_star("alice", APP)
        with pytest.raises(StatisticsUnavailableError):
            await statistics.of(APP, DIGEST)
        with pytest.raises(SessionsUnavailableError):
            await sessions.get(sessions.new_id())
        server.start()
        assert await accounts.key("aa") is not None
        assert await accounts.stars(APP) == 0
        assert await statistics.of(APP, DIGEST) == Statistic(DIGEST, 1, 20.0)
        assert await sessions.get(sessions.new_id()) is None
        for each in (accounts, statistics, sessions):
            await each.close()


@pytest.mark.needs("postgres")
async def test_postgres_that_goes_away_is_an_error_until_it_is_back(
    postgres_server: PostgresServer, pool: ThreadPool
) -> None:
    """A database that refuses connections fails each store with its error; one that was replaced gets its tables."""
    name = f"away_{uuid.uuid4().hex}"
    postgres_server.sql(f"CREATE DATABASE {name}")
    engine = PostgresAccountsEngine({"name": "postgres", "url": postgres_server.url(name)})
    accounts, statistics, sessions = (
        engine.open_accounts(pool),
        engine.open_statistics(pool),
        engine.open_sessions(pool, None),
    )
    await accounts.add_key(KEY)
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    postgres_server.sql(end)
    assert await accounts.key("aa") is not None
    postgres_server.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres_server.sql(end)
    failed = await asyncio.gather(
        accounts.key("aa"),
        statistics.of(APP, DIGEST),
        sessions.get(sessions.new_id()),
        return_exceptions=True,
    )
    assert [type(each) for each in failed] == [
        AccountsUnavailableError,
        StatisticsUnavailableError,
        SessionsUnavailableError,
    ]
    postgres_server.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    async with asyncio.timeout(30):
        while True:
            try:
                assert await accounts.stars(APP) == 0
                break
            except AccountsUnavailableError:
                await asyncio.sleep(0.05)
    postgres_server.sql("DROP SCHEMA zot_accounts CASCADE", name)
    with pytest.raises(AccountsUnavailableError):
        await accounts.user("alice")
    assert await accounts.user("alice") is None
    for each in (accounts, statistics, sessions):
        await each.close()


@pytest.mark.needs("redis-server")
async def test_values_of_another_program_are_named(redis_server: RedisServer, pool: ThreadPool) -> None:
    """They are an error that says what is unreadable, and stay as they are; other keys of this Redis are left alone."""
    prefix = uuid.uuid4().hex
    engine = RedisAccountsEngine({"name": "redis", "url": redis_server.url, "keyprefix": prefix})
    accounts, statistics = engine.open_accounts(pool), engine.open_statistics(pool)
    client = engine.open_sessions(pool, None)._calls.client  # type: ignore[attr-defined]
    own = f"{{{prefix}}}:1:"
    await client.set(f"{prefix}:blobs", "of zot")
    await client.hset(f"{own}accounts:user:bob", mapping={"groups": "no list"})
    await client.set(f"{own}accounts:user:eve", "no hash")
    await client.hset(f"{own}statistics:of:{APP}", DIGEST, "no row")
    with pytest.raises(AccountsUnavailableError, match="unreadable user bob"):
        await accounts.user("bob")
    with pytest.raises(AccountsUnavailableError):
        await accounts.record_login("eve", ["dev"])
    with pytest.raises(StatisticsUnavailableError, match="unreadable row"):
        await statistics.of(APP, DIGEST)
    assert await client.get(f"{own}accounts:user:eve") == b"no hash"
    await accounts.record_login("alice", ["dev"])
    keys = {key.decode() async for key in client.scan_iter(match=f"*{prefix}*")}
    assert {key for key in keys if not key.startswith(own)} == {f"{prefix}:blobs"}
    await client.aclose()
    await accounts.close()
    await statistics.close()
