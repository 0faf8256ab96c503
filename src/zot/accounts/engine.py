"""How a start of the store opens accounts, local sessions and statistics, whichever drivers it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zot.accounts.interface import Accounts
from zot.accounts.sessions.interface import SessionStore
from zot.config.secret_files import SessionKeys
from zot.statistics.statistics import StatisticsStore

if TYPE_CHECKING:
    from zot.foundation.sqlite_file import ThreadRunner


class AccountsEngine(Protocol):
    """One kind of accounts and statistics at one place: how they are opened, healed and saved.

    Any process opens them by itself; they need none of their own.
    """

    def heal(self) -> list[str]:
        """Start statistics from scratch if they are damaged; return what the operator should know.

        Damaged accounts stay as they are, since only a backup has them. For a time at which no process has them open.
        Raises OSError if damaged statistics cannot be moved.
        """

    def open_accounts(self, threads: ThreadRunner, awaited: Callable[[], bool] = lambda: False) -> Accounts:
        """Open the accounts; while `awaited` is true, an unknown API key may still be imported.

        Raises AccountsUnavailableError if they are of another program, or of a newer one.
        """

    def open_sessions(self, threads: ThreadRunner, keys: SessionKeys | None) -> SessionStore:
        """Open the login sessions of this machine, sealed with `keys`."""

    def open_statistics(self, threads: ThreadRunner) -> StatisticsStore:
        """Open the statistics. Raises StatisticsUnavailableError as `open_accounts` does."""

    def save(self, directory: Path) -> list[str]:
        """Copy what there is, as it is at one moment, into a directory; return the names of the files made.

        Files of these names are replaced. It blocks. Raises CatalogError.
        """
