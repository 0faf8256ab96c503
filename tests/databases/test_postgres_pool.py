"""The pool of connections to PostgreSQL, against real servers that are killed, suspended and refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from servers.postgres import PostgresServer
from zot.config.postgres_address import PostgresAddress, parse_address
from zot.databases.postgres_pool import (
    PostgresError,
    PostgresPool,
    PostgresRefusedError,
    PostgresUnavailableError,
    require_primary,
    run_apart,
)
from zot.databases.postgres_schema import PostgresSchema

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that the tests of this module kill and restart."""
    with PostgresServer() as running:
        yield running


@pytest.fixture
async def pool(server: PostgresServer) -> AsyncIterator[PostgresPool]:
    """A pool of two connections."""
    opened = PostgresPool(parse_address(server.url()), 2)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p@h:1/d?sslmode=require", ("postgres://u:p@h:1/d?sslmode=require", "h:1/d", False)),
        ("postgresql://u@h1,h2/d?pgbouncer=true&a=b", ("postgresql://u@h1,h2/d?a=b", "h1,h2/d", True)),
        ("postgres:///d?host=/run/pg", ("postgres:///d?host=%2Frun%2Fpg", "/run/pg/d", False)),
    ],
)
def test_an_address_shows_no_password(url: str, expected: tuple[str, str, bool]) -> None:
    """What is shown of a URL is its hosts and the database."""
    clean, place, pooled = expected
    assert parse_address(url) == PostgresAddress(clean, f"PostgreSQL at {place}", pooled)


@pytest.mark.parametrize("url", ["", "redis://h", "postgres://[h/secret", "postgres://u:secret@h?pgbouncer=maybe"])
def test_a_wrong_url_is_refused_without_its_text(url: str) -> None:
    """An error of a URL tells what would be right, and nothing of what it holds."""
    with pytest.raises(ValueError, match=r"^(not a|pgbouncer is)") as caught:
        parse_address(url)
    assert "secret" not in str(caught.value)


async def test_callers_share_the_connections(pool: PostgresPool) -> None:
    """More callers than connections are all answered; a cancelled one leaves its connection usable."""
    rows = await asyncio.gather(*(pool.fetch("SELECT $1::int", number) for number in range(20)))
    assert [each[0][0] for each in rows] == list(range(20))
    slow = [asyncio.create_task(pool.fetch("SELECT pg_sleep(60)")) for _ in range(3)]
    await asyncio.sleep(0)
    for task in slow:
        task.cancel()
    await asyncio.wait(slow)
    assert (await pool.fetch("SELECT 1"))[0][0] == 1
    assert (await pool.fetch("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'zot'"))[0][0] <= 2


async def test_a_transaction_is_whole(pool: PostgresPool) -> None:
    """An error of the block rolls it back; a read-only one sees one state, and refuses changes."""
    await pool.fetch("CREATE TABLE IF NOT EXISTS whole (n int)")

    async def undone() -> None:
        async with pool.transaction() as connection:
            await connection.execute("INSERT INTO whole VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        await undone()
    async with pool.transaction(read_only=True) as connection:
        assert await connection.fetchval("SELECT count(*) FROM whole") == 0
        await pool.fetch("INSERT INTO whole VALUES (2)")
        assert await connection.fetchval("SELECT count(*) FROM whole") == 0
    with pytest.raises(PostgresUnavailableError, match="read-only"):
        async with pool.transaction(read_only=True) as connection:
            await connection.execute("INSERT INTO whole VALUES (3)")
    assert [row[0] for row in await pool.fetch("SELECT n FROM whole")] == [2]


async def test_a_killed_server_is_found_again(server: PostgresServer, pool: PostgresPool) -> None:
    """While it is away callers wait, then fail as unavailable; once it is back the same pool answers."""
    assert (await pool.fetch("SELECT 1"))[0][0] == 1
    server.kill()
    with pytest.raises(PostgresUnavailableError, match=f"127.0.0.1:{server.port}"):
        await pool.fetch("SELECT 1", timeout_s=0.2)
    waiting = asyncio.create_task(pool.fetch("SELECT 2", timeout_s=60))
    await asyncio.sleep(0)
    server.start()
    assert (await waiting)[0][0] == 2


async def test_a_suspended_server_is_unavailable_in_time(server: PostgresServer, pool: PostgresPool) -> None:
    """A server that answers nothing costs a caller the time limit, not more."""
    with pytest.raises(PostgresUnavailableError, match="no answer in time"):
        await pool.fetch("SELECT pg_sleep(60)", timeout_s=0.2)
    assert (await pool.fetch("SELECT 1"))[0][0] == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgres://postgres:hidden@127.0.0.1:{port}/absent", 'database "absent" does not exist'),
        ("postgres://absent:hidden@127.0.0.1:{port}/postgres", 'role "absent" does not exist'),
        ("postgres://postgres:hidden@127.0.0.1:{port}/postgres?sslmode=hidden", "the URL cannot be used"),
    ],
)
async def test_a_wrong_configuration_is_refused_in_words(server: PostgresServer, url: str, message: str) -> None:
    """What an operator has to mend is told from what passes, with no secret in the text."""
    pool = PostgresPool(parse_address(url.format(port=server.port)))
    with pytest.raises(PostgresRefusedError, match=message) as caught:
        await pool.fetch("SELECT 1")
    assert "hidden" not in str(caught.value)
    await pool.close()


async def test_a_server_that_takes_no_changes_is_refused(server: PostgresServer, pool: PostgresPool) -> None:
    """A start refuses a standby and a read-only server in words, and tells of switched off safety."""
    notices = await require_primary(pool)
    assert [each.split(": ")[1].split(",")[0] for each in notices] == ["fsync is off", "full_page_writes is off"]
    server.sql("CREATE DATABASE frozen")
    server.sql("ALTER DATABASE frozen SET default_transaction_read_only = on")
    frozen = PostgresPool(parse_address(server.url("frozen")))
    with pytest.raises(PostgresRefusedError, match="default_transaction_read_only is on"):
        await require_primary(frozen)
    await frozen.close()


async def test_a_standby_is_refused(server: PostgresServer) -> None:
    """A start does not take a server that replays the log of another one."""
    server.stop()
    standby = PostgresServer(template=server.data)
    (standby.data / "standby.signal").touch()
    server.start()
    with standby:
        pool = PostgresPool(parse_address(standby.url()))
        with pytest.raises(PostgresRefusedError, match="it is a standby"):
            await require_primary(pool)
        with pytest.raises(PostgresUnavailableError, match="read-only"):
            await pool.fetch("CREATE TABLE refused ()")
        await pool.close()


async def test_a_schema_is_made_once_by_many(server: PostgresServer, pool: PostgresPool) -> None:
    """Processes that start together migrate it once; a later version adds to it, and leaves earlier functions."""
    first = PostgresSchema(
        "one", ("CREATE TABLE one.t (n int)",), "CREATE FUNCTION one_functions.f() RETURNS int RETURN 1;"
    )
    others = [PostgresPool(parse_address(server.url()), 1) for _ in range(4)]
    await asyncio.gather(*(first.migrate(each) for each in others))
    second = PostgresSchema(
        "one",
        (*first.migrations, "ALTER TABLE one.t ADD m int"),
        "CREATE FUNCTION one_functions.f() RETURNS int RETURN 2;",
    )
    await asyncio.gather(*(second.migrate(each) for each in others))
    await first.migrate(pool)
    for schema, expected in ((first, 1), (second, 2)):
        assert (await pool.fetch(f"SELECT {schema.functions_schema}.f(), (SELECT max(m) FROM one.t)"))[0][0] == expected
    for each in others:
        await each.close()
    with pytest.raises(PostgresError, match="no_such"):
        await PostgresSchema("two", ("CREATE TABLE two.t (); SELECT no_such",)).migrate(pool)
    assert (await pool.fetch("SELECT count(*) FROM pg_namespace WHERE nspname = 'two'"))[0][0] == 0


async def test_a_start_may_block_for_a_statement(server: PostgresServer) -> None:
    """`run_apart` gives a blocking caller the result, or the error, inside a running loop, too."""

    async def one() -> int:
        pool = PostgresPool(parse_address(server.url()))
        try:
            return int((await pool.fetch("SELECT 1"))[0][0])
        finally:
            await pool.close()

    async def wrong() -> None:
        raise KeyError

    assert run_apart(one()) == 1
    with pytest.raises(KeyError):
        run_apart(wrong())
