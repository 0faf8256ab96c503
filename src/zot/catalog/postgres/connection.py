"""Statements on the catalog's database, and several of them at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from zot.catalog.interface import CatalogError, CatalogFullError, CatalogUnavailableError, LeaseEndedError
from zot.databases.postgres_pool import (
    PostgresError,
    PostgresFullError,
    PostgresPool,
    PostgresRefusedError,
    PostgresUnavailableError,
)

LEASE_ENDED = "ZOT01"
# A schema, table or function that is not there.
_ABSENT = ("3F000", "42P01", "42883")


def translated(error: PostgresError) -> CatalogError:
    """Return the catalog's error for one of the database."""
    if error.sqlstate == LEASE_ENDED:
        return LeaseEndedError(str(error))
    if error.sqlstate in _ABSENT:
        return CatalogUnavailableError(f"{error}: this is not the database that the server was started with")
    if isinstance(error, PostgresUnavailableError | PostgresRefusedError):
        return CatalogUnavailableError(str(error))
    if isinstance(error, PostgresFullError):
        return CatalogFullError(str(error))
    return CatalogError(str(error))


class _Moment:
    """A read-only transaction for the reads of one block. The first read begins it."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._opened = AsyncExitStack()
        self._connection: Any = None

    async def rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """Return the rows of a statement. Raises PostgresError."""
        if self._connection is None:
            self._connection = await self._opened.enter_async_context(self._pool.transaction(read_only=True))
        try:
            rows: list[Any] = await self._connection.fetch(sql, *values)
        except Exception as error:
            raise self._pool.translated(error, self._connection) from error
        return rows

    async def end(self) -> None:
        """End the transaction, which changed nothing."""
        await self._opened.aclose()


class CatalogConnection:
    """The way of a process to the catalog's database."""

    def __init__(self, pool: PostgresPool) -> None:
        """Own the pool, which is closed with the connection."""
        self._pool = pool
        self._moment: ContextVar[_Moment | None] = ContextVar("moment", default=None)
        self._ending: set[asyncio.Task[None]] = set()

    def __str__(self) -> str:
        return str(self._pool.address)

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a statement, in the transaction of `one_moment` within its block. Raises CatalogError."""
        moment = self._moment.get()
        try:
            if moment is not None:
                return await moment.rows(sql, values)
            return await self._pool.fetch(sql, *values)
        except PostgresError as error:
            raise translated(error) from error

    @property
    def is_in_moment(self) -> bool:
        """Whether the caller is in a block of `one_moment`, in which nothing can be changed."""
        return self._moment.get() is not None

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Have the reads of the block, which has to be in one task, see one state."""
        moment = _Moment(self._pool)
        token = self._moment.set(moment)
        try:
            yield
        finally:
            self._moment.reset(token)
            ending = asyncio.get_running_loop().create_task(moment.end())
            self._ending.add(ending)
            ending.add_done_callback(self._ended)

    async def close(self) -> None:
        """Close all connections."""
        if self._ending:
            await asyncio.wait(self._ending)
        await self._pool.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # it was lost, as a later read will say
