"""The interface by which a store opens, heals and saves accounts, sessions, statistics and replicas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zot.accounts.interface import Accounts
from zot.accounts.sessions.interface import SessionStore
from zot.config.secret_files import SessionKeys
from zot.replicas.interface import Replicas
from zot.statistics.interface import StatisticsStore

if TYPE_CHECKING:
    from zot.foundation.threads import ThreadPool


class AccountsEngine(Protocol):
    """One driver of accounts, sessions, statistics and replicas.

    Each process opens them; they need no separate process.
    """

    def heal(self) -> list[str]:
        """Replace damaged statistics by empty ones, and return notices for the operator.

        Damaged accounts are reported and stay as they are: only a backup can restore them. Call it while no process has
        the files open. Idempotent. Raises OSError if damaged statistics cannot be renamed.
        """

    def open_accounts(self, threads: ThreadPool, awaited: Callable[[], bool] = lambda: False) -> Accounts:
        """Open the accounts; while `awaited` returns True, an unknown API key may still be imported.

        Raises AccountsUnavailableError if they are of another program, or of a newer version.
        """

    def open_sessions(self, threads: ThreadPool, keys: SessionKeys | None) -> SessionStore:
        """Open the sessions, signed and encrypted with `keys` if given. Raises SessionsUnavailableError."""

    def open_statistics(self, threads: ThreadPool) -> StatisticsStore:
        """Open the statistics. Raises StatisticsUnavailableError as `open_accounts` does."""

    def open_replicas(self) -> Replicas:
        """Open what replicas tell of themselves."""

    def save(self, directory: Path) -> list[str]:
        """Copy consistent snapshots of existing databases into a directory; return the names of the files.

        Replaces files with these names. Blocks: do not call it on the event loop. Raises CatalogError.
        """
