"""Accounts, sessions and statistics that end with the process (an `AccountsEngine`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from zot.accounts.interface import Accounts
from zot.accounts.memory import MemoryAccounts
from zot.accounts.sessions.interface import SessionStore
from zot.accounts.sessions.memory import MemorySessions
from zot.config.secret_files import SessionKeys
from zot.replicas.interface import Replicas
from zot.replicas.memory import MemoryReplicas
from zot.statistics.interface import StatisticsStore
from zot.statistics.memory import MemoryStatistics

if TYPE_CHECKING:
    from zot.foundation.threads import ThreadPool


class MemoryAccountsEngine:
    """`AccountsEngine` in memory: each call opens an empty store."""

    def heal(self) -> list[str]:
        """See `AccountsEngine`: there is nothing to heal."""
        return []

    def open_accounts(self, threads: ThreadPool, awaited: Callable[[], bool] = lambda: False) -> Accounts:  # noqa: ARG002
        """See `AccountsEngine`."""
        return MemoryAccounts()

    def open_sessions(self, threads: ThreadPool, keys: SessionKeys | None) -> SessionStore:  # noqa: ARG002
        """See `AccountsEngine`."""
        return MemorySessions()

    def open_statistics(self, threads: ThreadPool) -> StatisticsStore:  # noqa: ARG002
        """See `AccountsEngine`."""
        return MemoryStatistics()

    def open_replicas(self) -> Replicas:
        """See `AccountsEngine`: there is this server alone."""
        return MemoryReplicas()

    def save(self, directory: Path) -> list[str]:  # noqa: ARG002
        """See `AccountsEngine`: there is nothing to save."""
        return []
