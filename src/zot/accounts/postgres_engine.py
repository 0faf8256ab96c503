"""Accounts, sessions and statistics in PostgreSQL, shared by all replicas (an `AccountsEngine`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zot.accounts import postgres as accounts_tables
from zot.accounts.interface import Accounts, AccountsUnavailableError
from zot.accounts.sessions import postgres as sessions_tables
from zot.accounts.sessions.interface import SessionStore, SessionsUnavailableError
from zot.accounts.sessions.seal import sealed
from zot.config.postgres_address import driver_address
from zot.config.secret_files import SessionKeys
from zot.databases.postgres_pool import PostgresPool
from zot.databases.postgres_schema import PostgresSchema
from zot.databases.postgres_tables import PostgresTables
from zot.replicas import postgres as replicas_tables
from zot.replicas.interface import Replicas, ReplicasUnavailableError
from zot.statistics import postgres as statistics_tables
from zot.statistics.interface import StatisticsStore, StatisticsUnavailableError

if TYPE_CHECKING:
    from zot.foundation.threads import ThreadPool

_CONNECTIONS = 4
"""Of one process, for all its stores."""


class PostgresAccountsEngine:
    """`AccountsEngine` in PostgreSQL. The open stores of a process share one pool of connections."""

    def __init__(self, driver: Mapping[str, Any]) -> None:
        """Keep the address in `storage.cacheDriver`. Raises ConfigurationError if it is not valid."""
        self._address = driver_address(driver, "storage.cacheDriver")
        self._pool: PostgresPool | None = None
        self._users = 0

    def heal(self) -> list[str]:
        """See `AccountsEngine`: there is nothing to heal."""
        return []

    def open_accounts(self, threads: ThreadPool, awaited: Callable[[], bool] = lambda: False) -> Accounts:  # noqa: ARG002
        """See `AccountsEngine`. It connects with the first call."""
        tables = self._tables(accounts_tables.SCHEMA, AccountsUnavailableError, "the accounts")
        return accounts_tables.PostgresAccounts(tables, awaited)

    def open_sessions(self, threads: ThreadPool, keys: SessionKeys | None) -> SessionStore:  # noqa: ARG002
        """See `AccountsEngine`. It connects with the first call."""
        tables = self._tables(sessions_tables.SCHEMA, SessionsUnavailableError, "the session store")
        return sealed(sessions_tables.PostgresSessions(tables), keys)

    def open_statistics(self, threads: ThreadPool) -> StatisticsStore:  # noqa: ARG002
        """See `AccountsEngine`. It connects with the first call."""
        tables = self._tables(statistics_tables.SCHEMA, StatisticsUnavailableError, "the statistics")
        return statistics_tables.PostgresStatistics(tables)

    def open_replicas(self) -> Replicas:
        """See `AccountsEngine`. It connects with the first call."""
        tables = self._tables(replicas_tables.SCHEMA, ReplicasUnavailableError, "the replicas")
        return replicas_tables.PostgresReplicas(tables)

    def save(self, directory: Path) -> list[str]:
        """See `AccountsEngine`. Always raises AccountsUnavailableError: PostgreSQL is backed up by its own means."""
        raise AccountsUnavailableError(
            f"accounts and statistics are in PostgreSQL and not copied to {directory}: back them up with pg_dump"
        )

    def _tables(self, schema: PostgresSchema, unavailable: type[Exception], subject: str) -> PostgresTables:
        if self._pool is None:
            self._pool = PostgresPool(self._address, _CONNECTIONS)
        self._users += 1
        return PostgresTables(self._pool, schema, unavailable, subject, self._release)

    async def _release(self) -> None:
        self._users -= 1
        if self._users == 0 and self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()
