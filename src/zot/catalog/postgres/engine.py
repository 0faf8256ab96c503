"""How a start opens the catalog in PostgreSQL (a `CatalogEngine`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from zot.catalog.interface import Catalog, CatalogError, CatalogUnusableError
from zot.catalog.owner_commands import LEASE_S
from zot.catalog.postgres.connection import translated
from zot.catalog.postgres.driver import PostgresCatalog
from zot.catalog.postgres.schema import SCHEMA
from zot.config.postgres_address import PostgresAddress
from zot.databases.postgres_pool import (
    PostgresError,
    PostgresPool,
    PostgresRefusedError,
    require_primary,
    run_apart,
)

_BEGIN = f"SELECT {SCHEMA.functions_schema}.begin_owner($1, $2, $3, $4)"

_log = logging.getLogger("zot.catalog")

_Result = TypeVar("_Result")


class PostgresCatalogEngine:
    """`CatalogEngine` in PostgreSQL; its laws are stated there."""

    needs_writer = False
    log_file: Path | None = None

    def __init__(self, address: PostgresAddress, store: str, *, is_alone: bool) -> None:
        """`store` is the id of the store that the catalog describes: that of another one is refused.

        `is_alone`: a start holds locks that exclude every other server on this store.
        """
        self._address = address
        self._store = store
        self._is_alone = is_alone

    def __str__(self) -> str:
        return f"in {self._address}"

    def release_reserve(self) -> None:
        """See `CatalogEngine`: no disk space is held."""

    def check(self) -> list[str]:
        """See `CatalogEngine`."""

        async def check(pool: PostgresPool) -> list[str]:
            return list(await require_primary(pool))

        return self._blocking(check)

    def exists(self) -> bool:
        """See `CatalogEngine`. Raises CatalogError if the server cannot be reached."""
        return self._blocking(_exists)

    def damage(self) -> str | None:
        """See `CatalogEngine`: the server itself tells of damaged files."""
        return None

    def begin(self, owner: str) -> str:
        """See `CatalogEngine`: its tables are made or migrated. Raises CatalogError if the server cannot be reached."""

        async def begin(pool: PostgresPool) -> None:
            for notice in await require_primary(pool):
                _log.warning("%s", notice)
            await SCHEMA.migrate(pool)
            rows = await pool.fetch(_BEGIN, owner, LEASE_S, self._store, self._is_alone)
            if (store := rows[0][0]) != self._store:
                raise CatalogUnusableError(
                    f"the catalog {self} belongs to the store {store}, this one is {self._store}: "
                    "give each registry a database of its own"
                )

        self._blocking(begin)
        return owner

    def open(self, owner: str) -> Catalog:
        """See `CatalogEngine`."""
        self.begin(owner)
        return self._opened(owner)

    def connect(self, owner: str, boot: str) -> Catalog:
        """See `CatalogEngine`: the boot is the owner."""
        assert owner == boot
        return self._opened(owner)

    async def run_writer(self, boot: str, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """Raise CatalogError: the server is the writer."""
        del stop, ready
        raise CatalogError(f"the catalog {self} needs no writer for boot {boot}")

    def require_saving(self) -> None:
        """Raise CatalogError: the server's own programs save it."""
        self._refuse("back it up")

    def save(self, directory: Path) -> list[str]:
        """Raise CatalogError: the server's own programs save it."""
        del directory
        self._refuse("back it up")

    def open_saved(self, directory: Path) -> Catalog:
        """Raise CatalogError."""
        del directory
        self._refuse("back it up")

    def mark_restored(self) -> None:
        """Raise CatalogError."""
        self._refuse("restore it")

    def _opened(self, owner: str) -> Catalog:
        return PostgresCatalog(PostgresPool(self._address), owner)

    def _refuse(self, what: str) -> NoReturn:
        raise CatalogError(f"the catalog is {self}: {what} with pg_dump and pg_restore, or by the server's own backups")

    def _blocking(self, work: Callable[[PostgresPool], Awaitable[_Result]]) -> _Result:
        """Run something with a connection of its own, in a thread, since the caller may be in an event loop."""

        async def run() -> _Result:
            pool = PostgresPool(self._address, 1)
            try:
                return await work(pool)
            finally:
                await pool.close()

        try:
            return run_apart(run())
        except PostgresRefusedError as error:
            raise CatalogUnusableError(str(error)) from error
        except PostgresError as error:
            raise translated(error) from error


async def _exists(pool: PostgresPool) -> bool:
    rows = await pool.fetch("SELECT to_regclass('zot_catalog.change_state') IS NOT NULL")
    return bool(rows[0][0])
