"""Opens the stores of accounts and sessions of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from zot.accounts.engine import AccountsEngine
from zot.accounts.interface import Accounts
from zot.accounts.sessions.interface import SessionStore
from zot.config.model import Config

if TYPE_CHECKING:
    from zot.foundation.threads import ThreadPool


class AccountStores(msgspec.Struct, frozen=True):
    """The open stores of accounts and sessions."""

    accounts: Accounts
    sessions: SessionStore

    async def close(self) -> None:
        """Close both stores."""
        await self.sessions.close()
        await self.accounts.close()


async def open_stores(
    config: Config,
    engine: AccountsEngine,
    threads: ThreadPool,
    awaited: Callable[[], bool] = lambda: False,
    *,
    waits: bool = False,
) -> AccountStores | None:
    """Open the stores; return None if the configuration has no users.

    `awaited` tells whether accounts are still to be imported. With `waits`, a session store that cannot be reached is
    opened all the same and refuses sessions until it can be. Raises ConfigurationError if an option is invalid, and
    AccountsUnavailableError or SessionsUnavailableError if a store cannot be reached: such a server should not start.
    """
    auth = config.http.auth
    if not auth.has_basic:
        return None
    if auth.session_driver_name == "redis":
        # Imported here, since only this driver needs the client library.
        from zot.accounts.sessions.redis import RedisSessions  # noqa: PLC0415

        sessions: SessionStore = await RedisSessions.open(auth.session_driver or {}, waits=waits)
    else:
        sessions = engine.open_sessions(threads, config.secrets.session_keys)
    try:
        return AccountStores(engine.open_accounts(threads, awaited), sessions)
    except BaseException:
        await sessions.close()
        raise
