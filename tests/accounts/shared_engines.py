"""The engines of accounts, sessions and statistics that replicas share, empty for each test."""

import uuid

import pytest

from servers.redis import RedisServer
from zot.accounts.engine import AccountsEngine
from zot.accounts.redis_engine import RedisAccountsEngine

SHARED_ENGINES = [pytest.param("shared redis", marks=pytest.mark.needs("redis-server"))]


def shared_engine(request: pytest.FixtureRequest, name: str) -> AccountsEngine:
    """Return the engine of a parameter in SHARED_ENGINES."""
    return replicas(request, name)[0]


def replicas(request: pytest.FixtureRequest, name: str) -> tuple[AccountsEngine, AccountsEngine]:
    """Return the engines of two replicas, of a parameter in SHARED_ENGINES."""
    assert name == "shared redis"
    server: RedisServer = request.getfixturevalue("redis_server")
    driver = {"name": "redis", "url": server.url, "keyprefix": uuid.uuid4().hex}
    return RedisAccountsEngine(driver), RedisAccountsEngine(driver)
