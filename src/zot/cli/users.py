"""What is kept of users, opened on behalf of a command. A server may be running on it meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from zot.accounts.build import Stores, open_stores
from zot.accounts.interface import AccountsUnavailable
from zot.accounts.sessions.interface import SessionsUnavailable
from zot.cli.configuration import checked
from zot.config.errors import ConfigurationError
from zot.storage.pools import Pool


@asynccontextmanager
async def stores_of(file: Path) -> AsyncIterator[Stores]:
    """Open the stores of a configuration. What cannot be done is a ClickException, which ends the command."""
    config = checked(file)
    pool = Pool("accounts", 1, 64)
    try:
        stores = await open_stores(config, pool)
        if stores is None:
            raise click.ClickException(f"{file}: there are no users by this configuration (http.auth)")
        try:
            yield stores
        finally:
            await stores.close()
    except (AccountsUnavailable, SessionsUnavailable, ConfigurationError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        pool.close()
