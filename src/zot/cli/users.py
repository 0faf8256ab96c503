"""Opens the account stores for a command, while a server may be using them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from zot.accounts.build import AccountStores, open_stores
from zot.cli.configuration import checked
from zot.foundation.threads import ThreadPool
from zot.server.drivers import accounts_engine, catalog_engine
from zot.server.plan import make_plan
from zot.server.store_registry import refuse_root, require_store


@asynccontextmanager
async def stores_of(file: Path) -> AsyncIterator[AccountStores]:
    """Open the account stores of a configuration. Creates no store: a server must have served it before.

    Raises StorageError, AccountsUnavailableError, SessionsUnavailableError, ConfigurationError, ClickException.
    """
    config = checked(file)
    if not config.http.auth.has_basic:
        raise click.ClickException(
            f"{file}: the configuration has no users: http.auth has no authentication method with accounts"
        )
    plan = make_plan(config, file, workers=0, read_only=False)
    require_store(plan.state, catalog_engine(plan), plan.roots)
    refuse_root(plan.roots)
    pool = ThreadPool("accounts", 1, 64)
    try:
        stores = await open_stores(config, accounts_engine(plan), pool)
        assert stores is not None
        try:
            yield stores
        finally:
            await stores.close()
    finally:
        pool.close()
