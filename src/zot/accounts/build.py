"""The stores of accounts and sessions that a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from zot.accounts.interface import Accounts
from zot.accounts.memory import MemoryAccounts
from zot.accounts.sessions.interface import SessionStore
from zot.accounts.sessions.local import LocalSessions
from zot.accounts.sessions.memory import MemorySessions
from zot.accounts.sessions.redis import RedisSessions
from zot.accounts.sqlite import SqliteAccounts
from zot.accounts.sqlite_file import AccountThreads
from zot.config.model import Config
from zot.config.state_directory import StateDirectory


class AccountStores(msgspec.Struct, frozen=True):
    """What is kept of users."""

    accounts: Accounts
    sessions: SessionStore

    async def close(self) -> None:
        """Let go of both."""
        await self.sessions.close()
        await self.accounts.close()


async def open_stores(
    config: Config, threads: AccountThreads, awaited: Callable[[], bool] = lambda: False, *, waits: bool = False
) -> AccountStores | None:
    """Open the stores, None if there are no users by this configuration; `awaited`: accounts are still imported.

    Without a root directory both end with the process. With `waits` a session store that cannot be reached is opened
    all the same, and refuses sessions until it can be. Raises ConfigurationError if an option is wrong,
    AccountsUnavailableError and SessionsUnavailableError if a store cannot be reached: such a server should not start.
    """
    auth, storage = config.http.auth, config.storage
    if not auth.has_basic:
        return None
    state = StateDirectory.of(storage) if storage.root_directory else None
    sessions: SessionStore
    if auth.session_driver_name == "redis":
        sessions = await RedisSessions.open(auth.session_driver or {}, waits=waits)
    elif state is None:
        sessions = MemorySessions()
    else:
        sessions = LocalSessions(state.sessions, threads, config.secrets.session_keys)
    if state is None:
        return AccountStores(MemoryAccounts(), sessions)
    try:
        state.catalog.mkdir(parents=True, exist_ok=True)
        return AccountStores(SqliteAccounts(state.accounts_database, threads, awaited), sessions)
    except BaseException:
        await sessions.close()
        raise
