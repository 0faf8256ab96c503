"""Statements on the tables of one part of the product, each with a time limit and one kind of error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from zot.databases.postgres_pool import PostgresError, PostgresPool, PostgresUnavailableError
from zot.databases.postgres_schema import PostgresSchema

_READ_S = 2.0
_CHANGE_S = 5.0


class PostgresTables:
    """Makes the tables before the first statement. Every method raises the error that this was opened with."""

    def __init__(
        self,
        pool: PostgresPool,
        schema: PostgresSchema,
        unavailable: type[Exception],
        subject: str,
        release: Callable[[], Awaitable[None]],
    ) -> None:
        """Use a pool until `release` is called; `subject` begins the texts of errors."""
        self._pool = pool
        self._schema = schema
        self._unavailable = unavailable
        self._subject = subject
        self._release = release
        self._migrated = False
        self._migration: asyncio.Task[None] | None = None

    async def read(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a statement that only reads. It is repeated if the connection is lost."""
        with self._translated():
            await self._ready()
            return await self._pool.fetch(sql, *values, timeout_s=_READ_S)

    async def change(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a statement, which is sent once. If this raises, it may have been carried out."""
        with self._translated():
            await self._ready()
            return await self._pool.fetch(sql, *values, timeout_s=_CHANGE_S, repeatable=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Run the block in a transaction on the connection that it gets."""
        with self._translated():
            await self._ready()
            async with self._pool.transaction(timeout_s=_CHANGE_S) as connection:
                yield connection

    async def close(self) -> None:
        """End a migration, and release the pool."""
        if self._migration is not None:
            self._migration.cancel()
            await asyncio.wait({self._migration})
        await self._release()

    async def _ready(self) -> None:
        if self._migrated:
            return
        if self._migration is None or self._migration.done():
            self._migration = asyncio.create_task(self._schema.migrate(self._pool))
        migration = self._migration
        # A migration may take longer than a request waits: it goes on.
        done, _ = await asyncio.wait({migration}, timeout=_READ_S)
        if not done:
            raise PostgresUnavailableError(f"{self._pool.address}: the tables are not ready yet")
        migration.result()
        self._migrated = True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PostgresError as error:
            if type(error) is PostgresError:  # such as that a table is missing: the database has been replaced
                self._migrated = False
            raise self._unavailable(f"{self._subject} cannot be reached: {error}") from error
