"""Accounts and statistics in two SQLite files, sessions in files beside them (an `AccountsEngine`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zot.accounts.interface import Accounts
from zot.accounts.sessions.interface import SessionStore
from zot.accounts.sessions.local import LocalSessions
from zot.accounts.sqlite import REMEDY, SqliteAccounts
from zot.config.secret_files import SessionKeys
from zot.config.state_directory import StateDirectory
from zot.foundation.sqlite_file import is_damaged, set_aside_if_damaged
from zot.foundation.threads import ThreadPool
from zot.replicas.interface import Replicas
from zot.replicas.memory import MemoryReplicas
from zot.statistics.interface import StatisticsStore
from zot.statistics.sqlite import SqliteStatistics


class SqliteAccountsEngine:
    """`AccountsEngine` on files."""

    def __init__(self, state: StateDirectory, snapshot: Callable[[Path, Path], None]) -> None:
        """Keep the paths; `snapshot` copies a consistent SQLite database to a new file, or raises CatalogError."""
        self._state = state
        self._snapshot = snapshot

    def heal(self) -> list[str]:
        """See `AccountsEngine`."""
        notices = []
        path = self._state.statistics_database
        kept = set_aside_if_damaged(path)
        if kept is not None:
            notices.append(f"{path} is damaged: it is kept as {kept}, and counts of pulls start from zero")
        path = self._state.accounts_database
        if is_damaged(path):
            notices.append(f"{path} is damaged: {REMEDY}. Until then logins are answered with 503.")
        return notices

    def open_accounts(self, threads: ThreadPool, awaited: Callable[[], bool] = lambda: False) -> Accounts:
        """See `AccountsEngine`."""
        self._state.catalog.mkdir(parents=True, exist_ok=True)
        return SqliteAccounts(self._state.accounts_database, threads, awaited)

    def open_sessions(self, threads: ThreadPool, keys: SessionKeys | None) -> SessionStore:
        """See `AccountsEngine`."""
        return LocalSessions(self._state.sessions, threads, keys)

    def open_statistics(self, threads: ThreadPool) -> StatisticsStore:
        """See `AccountsEngine`."""
        return SqliteStatistics(self._state.statistics_database, threads)

    def open_replicas(self) -> Replicas:
        """See `AccountsEngine`: there is this server alone."""
        return MemoryReplicas()

    def save(self, directory: Path) -> list[str]:
        """See `AccountsEngine`."""
        databases = (self._state.accounts_database, self._state.statistics_database)
        existing = [path for path in databases if path.exists()]
        for path in existing:
            target = directory / path.name
            target.unlink(missing_ok=True)
            self._snapshot(path, target)
        return [path.name for path in existing]
