"""The engines of accounts, sessions and statistics that replicas share, empty for each test."""

import uuid
from functools import cache

import pytest

from servers.postgres import PostgresServer
from servers.redis import RedisServer
from zot.accounts import postgres as accounts_tables
from zot.accounts.engine import AccountsEngine
from zot.accounts.postgres_engine import PostgresAccountsEngine
from zot.accounts.redis_engine import RedisAccountsEngine
from zot.accounts.sessions import postgres as sessions_tables
from zot.config.postgres_address import parse_address
from zot.databases.postgres_pool import PostgresPool, run_apart
from zot.replicas import postgres as replicas_tables
from zot.statistics import postgres as statistics_tables

SHARED_ENGINES = [
    pytest.param("shared redis", marks=pytest.mark.needs("redis-server")),
    pytest.param("shared postgres", marks=pytest.mark.needs("postgres")),
]


def shared_engine(request: pytest.FixtureRequest, name: str) -> AccountsEngine:
    """Return the engine of a parameter in SHARED_ENGINES."""
    return replicas(request, name)[0]


def replicas(request: pytest.FixtureRequest, name: str) -> tuple[AccountsEngine, AccountsEngine]:
    """Return the engines of two replicas, of a parameter in SHARED_ENGINES."""
    if name == "shared redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        driver = {"name": "redis", "url": server.url, "keyprefix": uuid.uuid4().hex}
        return RedisAccountsEngine(driver), RedisAccountsEngine(driver)
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    driver = {"name": "postgres", "url": _emptied(postgres)}
    return PostgresAccountsEngine(driver), PostgresAccountsEngine(driver)


def _emptied(server: PostgresServer) -> str:
    """Return the URL of a database without rows, whose tables exist after the first test."""
    url = _database(server)

    async def empty() -> None:
        pool = PostgresPool(parse_address(url), 1)
        for tables in (accounts_tables, sessions_tables, statistics_tables, replicas_tables):
            await tables.SCHEMA.migrate(pool)
        await pool.fetch(
            "TRUNCATE zot_accounts.users, zot_accounts.api_key, zot_accounts.star, zot_accounts.bookmark,"
            " zot_sessions.session, zot_sessions.secret, zot_statistics.statistic, zot_replicas.replica"
        )
        await pool.close()

    run_apart(empty())
    return url


@cache
def _database(server: PostgresServer) -> str:
    name = f"accounts_{uuid.uuid4().hex}"
    server.sql(f"CREATE DATABASE {name}")
    return server.url(name)
