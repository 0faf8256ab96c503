"""The laws of session stores, for every driver."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from accounts.shared_engines import SHARED_ENGINES, shared_engine
from certificates import Authority
from servers.process import free_port
from servers.redis import RedisServer
from zot.accounts.sessions.interface import SessionStore, SessionsUnavailableError
from zot.accounts.sessions.local import LocalSessions
from zot.accounts.sessions.memory import MemorySessions
from zot.accounts.sessions.redis import RedisSessions
from zot.accounts.sessions.session import Sessions
from zot.config.secret_files import SessionKeys
from zot.databases.redis_calls import LONGEST_S
from zot.foundation.threads import ThreadPool

KEYS = SessionKeys.model_validate({"hashKey": "h" * 32, "encryptKey": "e" * 32})


@pytest.fixture(
    params=[
        "memory",
        "local",
        "local-sealed",
        pytest.param("redis", marks=pytest.mark.needs("redis-server")),
        *SHARED_ENGINES,
        pytest.param("shared postgres sealed", marks=pytest.mark.needs("postgres")),
    ]
)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SessionStore]:
    """Give each driver, empty."""
    pool = ThreadPool("sessions", 2, 64)
    store: SessionStore
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        store = await RedisSessions.open({"name": "redis", "url": server.url, "keyprefix": uuid.uuid4().hex})
    elif request.param == "memory":
        store = MemorySessions()
    elif request.param.startswith("shared"):
        engine = shared_engine(request, request.param.removesuffix(" sealed"))
        store = engine.open_sessions(pool, KEYS if request.param.endswith(" sealed") else None)
    else:
        store = LocalSessions(tmp_path / "_sessions", pool, KEYS if request.param == "local-sealed" else None)
    yield store
    await store.close()
    pool.close()


async def all_ids(store: SessionStore) -> set[str]:
    """List a store."""
    return {session_id async for session_id in store.ids()}


async def test_a_value_is_kept_until_it_is_deleted(store: SessionStore) -> None:
    """By the id it was put under, replaced by the next one of the same id, deleted once."""
    session_id = store.new_id()
    assert await store.get(session_id) is None
    await store.put(session_id, b"one", 60)
    assert await store.get(session_id) == b"one"
    await store.put(session_id, b"two", 60)
    assert await store.get(session_id) == b"two"
    assert await all_ids(store) == {session_id}
    assert await store.delete(session_id)
    assert not await store.delete(session_id)
    assert await store.get(session_id) is None
    assert await all_ids(store) == set()


async def test_only_one_of_many_deletes_the_value(store: SessionStore) -> None:
    """What is to be used once is used once, however many ask at the same time."""
    session_id = store.new_id()
    await store.put(session_id, b"once", 60)
    assert sum(await asyncio.gather(*(store.delete(session_id) for _ in range(10)))) == 1


async def test_ids_are_long_random_and_fit_into_a_cookie(store: SessionStore) -> None:
    """At least 256 bits, and nothing that a cookie would have to quote."""
    ids = {store.new_id() for _ in range(50)}
    assert len(ids) == 50
    for session_id in ids:
        assert len(session_id.partition(".")[0]) >= 52
        assert session_id.replace(".", "").replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "garbage", ["", "A", "../../etc/passwd", "A" * 52, "A" * 52 + ".x", "*" * 60, "\0" * 60, "é" * 60, "A" * 9999]
)
async def test_whatever_a_cookie_holds_is_no_error(store: SessionStore, garbage: str) -> None:
    """An id that is not known, and text that is no id at all, have no value."""
    assert await store.get(garbage) is None
    assert not await store.delete(garbage)


async def test_the_secret_stays_and_is_no_session(store: SessionStore) -> None:
    """It is the same each time, long enough for a signature, and no id leads to it."""
    secret = await store.secret()
    assert len(secret) >= 32
    assert await store.secret() == secret
    await store.sweep()
    assert await store.secret() == secret
    assert await all_ids(store) == set()


@pytest.mark.parametrize("value", [b"", b"{", b"{}", b'{"user": "\xff"}', b'{"x": ' + b"[" * 20_000, b"[]"])
async def test_a_value_that_is_no_session_is_none(store: SessionStore, value: bytes) -> None:
    """Whoever wrote something else under the id of a session has not logged in, and the server says so calmly."""
    session_id = store.new_id()
    await store.put(session_id, value, 60)
    assert await Sessions(store).find(session_id) is None


async def test_a_value_is_gone_when_its_time_is_over(store: SessionStore) -> None:
    """A time to live that is over leaves nothing behind once the store was swept."""
    session_id = store.new_id()
    await store.put(session_id, b"short", 1)
    for _ in range(200):
        if await store.get(session_id) is None:
            break
        await asyncio.sleep(0.02)
    assert await store.get(session_id) is None
    await store.sweep()
    assert await all_ids(store) == set()


async def test_local_sessions_outlive_a_restart_and_are_shared(tmp_path: Path) -> None:
    """Each process of a server, now and after a restart, knows the sessions of the others, without a keys file."""
    pool, directory = ThreadPool("sessions", 1, 64), tmp_path / "_sessions"
    first, second = LocalSessions(directory, pool), LocalSessions(directory, pool)
    session_id = first.new_id()
    await first.put(session_id, b"value", 60)
    assert await second.get(session_id) == b"value"
    assert await LocalSessions(directory, pool).get(session_id) == b"value"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in directory.iterdir())
    pool.close()


async def test_a_cookie_of_another_key_opens_nothing(tmp_path: Path) -> None:
    """A file name alone is no id, and neither is one signed by somebody else."""
    pool, directory = ThreadPool("sessions", 1, 64), tmp_path / "_sessions"
    store, other = LocalSessions(directory, pool, KEYS), LocalSessions(directory, pool)
    session_id = store.new_id()
    await store.put(session_id, b"value", 60)
    name = session_id.partition(".")[0]
    assert await other.get(session_id) is None
    for forged in (name, f"{name}.", f"{name}.AAAA", other.new_id()):
        assert await store.get(forged) is None
        assert not await store.delete(forged)
    assert b"value" not in (directory / f"session_{name}").read_bytes()
    pool.close()


async def test_a_sealed_file_can_not_be_exchanged_for_another(tmp_path: Path) -> None:
    """Whoever may write files still can't give one session the value of another."""
    pool, directory = ThreadPool("sessions", 1, 64), tmp_path / "_sessions"
    store = LocalSessions(directory, pool, KEYS)
    mine, theirs = store.new_id(), store.new_id()
    await store.put(mine, b"mine", 60)
    await store.put(theirs, b"theirs", 60)
    paths = [directory / f"session_{session_id.partition('.')[0]}" for session_id in (mine, theirs)]
    paths[0].write_bytes(paths[1].read_bytes())
    assert await store.get(mine) is None
    pool.close()


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize(
    ("prefix", "expected"),
    [(None, "zotsession:"), (8, "8:"), (True, "true:"), ("", ""), ("mine", "mine:"), (["a"], "zotsession:")],
)
async def test_redis_keys_begin_with_the_prefix(tmp_path: Path, prefix: object, expected: str) -> None:
    """One key a session, by the rules of `keyprefix`, and it expires with the cookie."""
    with RedisServer(tmp_path) as server:
        driver: dict[str, object] = {"name": "redis", "addr": f"127.0.0.1:{server.port}"}
        store = await RedisSessions.open(driver if prefix is None else {**driver, "keyprefix": prefix})
        session_id = store.new_id()
        await store.put(session_id, b"value", 7200)
        keys = [key.decode() async for key in store._calls.client.scan_iter()]
        assert keys == [f"{expected}{session_id}"]
        assert 7100 < await store._calls.client.ttl(keys[0]) <= 7200
        assert await all_ids(store) == {session_id}
        await store.delete(session_id)
        assert await store._calls.client.dbsize() == 0
        await store.close()


@pytest.mark.needs("redis-server")
async def test_every_way_to_reach_redis_works(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By options and by URL, with a password, over a Unix socket, and over TLS that is verified."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    (tmp_path / "plain").mkdir()
    (tmp_path / "tls").mkdir()
    with (
        RedisServer(tmp_path / "plain", ["--requirepass", "secret"]) as plain,
        RedisServer(tmp_path / "tls", tls=authority.folder) as tls,
    ):
        for driver in (
            {"addr": f"127.0.0.1:{plain.port}", "password": "secret", "db": "2", "dial_timeout": "1s", "pool_size": 3},
            {"url": f"redis://:secret@127.0.0.1:{plain.port}/3?read_timeout=2"},
            {"url": f"unix://:secret@{plain.socket}?db=1"},
            {"url": tls.url},
        ):
            store = await RedisSessions.open({"name": "redis", **driver})
            session_id = store.new_id()
            await store.put(session_id, b"value", 60)
            assert await store.get(session_id) == b"value"
            await store.close()


@pytest.mark.needs("redis-server")
async def test_a_start_without_redis_fails_and_says_so(tmp_path: Path) -> None:
    """A wrong password, and nobody who listens, are found when the store is opened."""
    with RedisServer(tmp_path, ["--requirepass", "secret"]) as server, pytest.raises(SessionsUnavailableError):
        await RedisSessions.open({"name": "redis", "url": server.url, "max_retries": 0})
    with pytest.raises(SessionsUnavailableError):
        await RedisSessions.open({"name": "redis", "addr": f"127.0.0.1:{server.port}", "max_retries": 0})


@pytest.mark.needs("redis-server")
async def test_redis_that_goes_away_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    """Nothing is known meanwhile, which is not the same as no session; and the store heals by itself."""
    with RedisServer(tmp_path) as server:
        url = f"{server.url}?max_retries=0&read_timeout=500ms&write_timeout=500ms"
        store = await RedisSessions.open({"name": "redis", "url": url})
        session_id = store.new_id()
        await store.put(session_id, b"value", 60)
        server.freeze()
        with pytest.raises(SessionsUnavailableError):
            await store.get(session_id)
        server.thaw()
        assert await store.get(session_id) == b"value"
        server.kill()
        with pytest.raises(SessionsUnavailableError):
            await store.get(session_id)
        server.start()
        assert await store.get(session_id) is None
        await store.put(session_id, b"value", 60)
        assert await store.get(session_id) == b"value"
        await store.close()


@pytest.mark.needs("redis-server")
async def test_redis_that_hangs_costs_a_request_two_seconds(tmp_path: Path) -> None:
    """Whatever its timeouts and retries, and however many requests wait for it at once."""
    with RedisServer(tmp_path) as server:
        store = await RedisSessions.open({"name": "redis", "url": f"{server.url}?read_timeout=1h&max_retries=9"})
        session_id = store.new_id()
        await store.put(session_id, b"value", 60)
        server.freeze()
        async with asyncio.timeout(20 * LONGEST_S):
            found = await asyncio.gather(*(store.get(session_id) for _ in range(30)), return_exceptions=True)
        assert {type(each) for each in found} == {SessionsUnavailableError}
        server.thaw()
        assert await store.get(session_id) == b"value"
        await store.close()


@pytest.mark.needs("redis-server")
async def test_redis_may_be_away_when_a_process_is_replaced(tmp_path: Path) -> None:
    """Opened without asking, the store refuses sessions until Redis is there."""
    server = RedisServer(tmp_path)
    store = await RedisSessions.open({"name": "redis", "url": f"{server.url}?max_retries=0"}, waits=True)
    session_id = store.new_id()
    with pytest.raises(SessionsUnavailableError):
        await store.get(session_id)
    with server:
        await store.put(session_id, b"value", 60)
        assert await store.get(session_id) == b"value"
        await store.close()


@pytest.mark.needs("redis-server")
async def test_a_cluster_keeps_sessions(tmp_path: Path) -> None:
    """Several addresses are nodes of a cluster."""
    # By default 10,000 above the other port, which may be beyond the last one.
    bus = ["--cluster-port", str(free_port())]
    with RedisServer(tmp_path, ["--cluster-enabled", "yes", *bus]) as node:
        single = await RedisSessions.open({"name": "redis", "url": node.url})
        await single._calls.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        for _ in range(500):
            if b"cluster_state:ok" in bytes(await single._calls.client.execute_command("CLUSTER", "INFO")):
                break
            await asyncio.sleep(0.02)
        await single.close()
        address = f"127.0.0.1:{node.port}"
        for driver in ({"addr": [address, address]}, {"url": f"redis://{address}?addr={address}"}):
            store = await RedisSessions.open({"name": "redis", **driver})
            ids = [store.new_id() for _ in range(20)]
            for session_id in ids:
                await store.put(session_id, b"value", 60)
            assert await all_ids(store) >= set(ids)
            assert await store.get(ids[0]) == b"value"
            await store.close()


@pytest.mark.needs("redis-server")
async def test_sentinels_say_where_the_master_is(tmp_path: Path) -> None:
    """With `master_name` the addresses are those of sentinels."""
    for name in ("master", "sentinel"):
        (tmp_path / name).mkdir()
    with RedisServer(tmp_path / "master") as master:
        config = tmp_path / "sentinel" / "sentinel.conf"
        config.write_text(f"sentinel monitor main 127.0.0.1 {master.port} 1\n")
        sentinel = RedisServer(tmp_path / "sentinel")
        sentinel.command = [sentinel.command[0], str(config), "--sentinel", "--port", str(sentinel.port)]
        with sentinel:
            store = await RedisSessions.open(
                {"name": "redis", "addr": f"127.0.0.1:{sentinel.port}", "master_name": "main"}
            )
            session_id = store.new_id()
            await store.put(session_id, b"value", 60)
            assert await store.get(session_id) == b"value"
            await store.close()
