"""Accounts, sessions and statistics in Redis, shared by all replicas (an `AccountsEngine`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zot.accounts.interface import Accounts, AccountsUnavailableError
from zot.accounts.redis import RedisAccounts
from zot.accounts.sessions.interface import SessionStore
from zot.accounts.sessions.redis import RedisSessions
from zot.accounts.sessions.seal import sealed
from zot.config.redis_options import redis_options
from zot.config.secret_files import SessionKeys
from zot.databases.redis_calls import RedisCalls
from zot.databases.redis_client import connect
from zot.replicas.interface import Replicas, ReplicasUnavailableError
from zot.replicas.redis import RedisReplicas
from zot.statistics.interface import StatisticsStore, StatisticsUnavailableError
from zot.statistics.redis import RedisStatistics

if TYPE_CHECKING:
    from zot.foundation.threads import ThreadPool

_DEFAULT_PREFIX = "zot"


class RedisAccountsEngine:
    """`AccountsEngine` in Redis: all stores of one `cacheDriver` share their keys."""

    def __init__(self, driver: Mapping[str, Any]) -> None:
        """Keep the options of `storage.cacheDriver`. Raises ConfigurationError if one is invalid."""
        self._options, _ = redis_options(driver, _DEFAULT_PREFIX, "storage.cacheDriver")
        # The hash tag, which puts all keys on one node of a cluster.
        self._prefix = f"{{{self._options.key_prefix.removesuffix(':') or _DEFAULT_PREFIX}}}:1:"

    def heal(self) -> list[str]:
        """See `AccountsEngine`: there is nothing to heal."""
        return []

    def open_accounts(self, threads: ThreadPool, awaited: Callable[[], bool] = lambda: False) -> Accounts:  # noqa: ARG002
        """See `AccountsEngine`. It connects with the first call."""
        prefix = f"{self._prefix}accounts:"
        calls = RedisCalls.open(self._options, AccountsUnavailableError, "the accounts", prefix)
        return RedisAccounts(calls, prefix, awaited)

    def open_sessions(self, threads: ThreadPool, keys: SessionKeys | None) -> SessionStore:  # noqa: ARG002
        """See `AccountsEngine`. It connects with the first call."""
        return sealed(RedisSessions(connect(self._options), f"{self._prefix}sessions:"), keys)

    def open_statistics(self, threads: ThreadPool) -> StatisticsStore:  # noqa: ARG002
        """See `AccountsEngine`. It connects with the first call."""
        prefix = f"{self._prefix}statistics:"
        calls = RedisCalls.open(self._options, StatisticsUnavailableError, "the statistics", prefix)
        return RedisStatistics(calls, prefix)

    def open_replicas(self) -> Replicas:
        """See `AccountsEngine`. It connects with the first call."""
        prefix = f"{self._prefix}replicas:"
        calls = RedisCalls.open(self._options, ReplicasUnavailableError, "the replicas", prefix)
        return RedisReplicas(calls, prefix)

    def save(self, directory: Path) -> list[str]:
        """See `AccountsEngine`. Always raises AccountsUnavailableError: Redis is backed up by its own means."""
        raise AccountsUnavailableError(
            f"accounts and statistics are in Redis and not copied to {directory}: back up Redis by its own means"
        )
