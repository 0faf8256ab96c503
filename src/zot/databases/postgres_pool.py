"""Connections of one process to a PostgreSQL database: opened when they are needed, and again after they are lost.

Nothing is kept in a connection from one statement or transaction to the next, so that a proxy such as PgBouncer may
give each transaction another one. A pool belongs to one event loop; it is made after the process has forked.

    PostgresError (a statement failed: nothing was changed, and it would fail again)
    ├── PostgresUnavailableError (it may pass; the outcome is unknown)
    ├── PostgresFullError (the server has no space: nothing was changed)
    └── PostgresRefusedError (the server refuses the connection, the rights or the change: an operator has to act)
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any, TypeVar

import asyncpg

from zot.config.postgres_address import PostgresAddress

SIZE = 8
"""How many connections a pool has at most."""

STATEMENT_S = 10.0
"""How long a statement lasts at most, the wait for a connection and repetitions included."""

_CONNECT_S = 5.0
_OUTAGE_S = 5.0
"""How long callers wait for a database that is away; later each waits for one more attempt alone."""
_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 0.5
_RETRY_S = 0.5
"""A statement is not repeated in the last moments of its time."""
_CLOSE_S = 5.0
_IDLE_IN_TRANSACTION_MS = 60_000

Result = TypeVar("Result")


class PostgresError(Exception):
    """A statement failed. Unless a subclass says otherwise nothing was changed, and it would fail again."""

    def __init__(self, text: str, sqlstate: str = "") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate
        """The server's code of the error; empty if it is not the server's."""


class PostgresUnavailableError(PostgresError):
    """The database cannot be reached or used now. The outcome of a statement is unknown."""


class PostgresFullError(PostgresError):
    """The server has no space for the change: nothing was changed."""


class PostgresRefusedError(PostgresError):
    """The server refuses the connection, the rights or the change; the message says what would be right."""


class PostgresPool:
    """Connections to one database."""

    def __init__(self, address: PostgresAddress, size: int = SIZE, *, application: str = "zot") -> None:
        """Open nothing yet. `application` is what the server shows the connections as."""
        self.address = address
        self._size = size
        self._application = application
        self._count = 0
        """Connections that are open or being opened."""
        self._idle: list[Any] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._failures = 0
        self._failed: PostgresError | None = None
        self._failing_since_s = 0.0
        self._failed_at_s = 0.0
        self._try_after_s = 0.0
        self._closed = False

    async def fetch(
        self, sql: str, *values: Any, timeout_s: float = STATEMENT_S, repeatable: bool = True
    ) -> list[asyncpg.Record]:
        """Execute one statement, which is a transaction, and return its rows. `$1` is the first of the values.

        A deadlock is repeated, and with `repeatable` a statement whose connection was lost, which may have been
        carried out before. A cancelled statement is ended on the server, too. Raises PostgresError.
        """
        until_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            connection = await self._acquire(until_s)
            try:
                rows: list[asyncpg.Record] = await connection.fetch(sql, *values, timeout=_left_s(until_s))
            except Exception as error:
                again = _was_rolled_back(error) or (repeatable and connection.is_closed())
                translated = self.translated(error, connection)
                if not again or not isinstance(translated, PostgresUnavailableError) or _left_s(until_s) < _RETRY_S:
                    raise translated from error
                await asyncio.sleep(_FIRST_DELAY_S * random.random())  # noqa: S311 (it only spreads)
            else:
                return rows
            finally:
                self._release(connection)

    @asynccontextmanager
    async def transaction(
        self, *, read_only: bool = False, timeout_s: float = STATEMENT_S
    ) -> AsyncIterator[asyncpg.Connection]:
        """Run the block in a transaction on one connection, which the block calls; an error rolls it back.

        With `read_only` all statements see one state of the database. Raises PostgresError, also for errors of the
        block's statements; an error at the end leaves the outcome unknown.
        """
        until_s = asyncio.get_running_loop().time() + timeout_s
        connection = await self._acquire(until_s)
        try:
            isolation = "repeatable_read" if read_only else "read_committed"
            async with connection.transaction(isolation=isolation, readonly=read_only):
                yield connection
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise self.translated(error, connection) from error
        finally:
            self._release(connection)

    async def close(self) -> None:
        """Close all connections; those in use end with their statement. Afterwards nothing else may be called."""
        self._closed = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        idle, self._idle = self._idle, []
        for connection in idle:
            await _close(connection)

    async def _acquire(self, until_s: float) -> Any:
        """Return a connection of the caller's own. Raises PostgresUnavailableError, PostgresRefusedError."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while not self._closed:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._count -= 1
            now_s = loop.time()
            if self._count < self._size and now_s >= self._try_after_s:
                if (opened := await self._open(min(_CONNECT_S, until_s - now_s))) is not None:
                    return opened
                continue
            if (
                self._failed is not None
                and self._failed_at_s >= began_s
                and (isinstance(self._failed, PostgresRefusedError) or now_s - self._failing_since_s > _OUTAGE_S)
            ):
                raise type(self._failed)(str(self._failed), self._failed.sqlstate)
            if now_s >= until_s:
                raise self._failed or PostgresUnavailableError(f"{self.address}: all connections are in use")
            wait_s = until_s - now_s
            if self._count < self._size:
                wait_s = min(wait_s, self._try_after_s - now_s)
            if (given := await self._given(wait_s)) is not None:
                return given
        raise PostgresUnavailableError(f"{self.address}: it is being closed")

    async def _given(self, wait_s: float) -> Any:
        """Wait for a connection that another caller gives back; None: look again."""
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            await asyncio.wait((waiting,), timeout=wait_s)
        except asyncio.CancelledError:
            if not waiting.done():
                waiting.cancel()
            elif waiting.result() is not None:
                self._release(waiting.result())
            else:
                self._wake()
            raise
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        return None

    async def _open(self, timeout_s: float) -> Any:
        """Open a connection; None: it failed, and the next attempt is due after a delay."""
        self._count += 1
        try:
            connection = await self._connect(timeout_s)
        except BaseException as error:
            self._count -= 1
            self._wake()
            if not isinstance(error, Exception):
                raise
            now_s = asyncio.get_running_loop().time()
            if self._failed is None:
                self._failing_since_s = now_s
            self._failed, self._failed_at_s = self.translated(error, None), now_s
            delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0**self._failures)
            self._failures += 1
            self._try_after_s = now_s + delay_s * (0.5 + random.random() / 2)  # noqa: S311 (it only spreads)
            return None
        self._failures, self._failed, self._try_after_s = 0, None, 0.0
        return connection

    async def _connect(self, timeout_s: float) -> Any:
        settings = {"application_name": self._application}
        if not self.address.is_pooled:
            settings["jit"] = "off"
            settings["idle_in_transaction_session_timeout"] = str(_IDLE_IN_TRANSACTION_MS)
        return await asyncpg.connect(
            self.address.url,
            timeout=max(0.1, timeout_s),
            statement_cache_size=0 if self.address.is_pooled else 200,
            max_cached_statement_lifetime=0,
            server_settings=settings,
        )

    def _release(self, connection: Any) -> None:
        if connection.is_closed() or self._closed:
            if not connection.is_closed():
                connection.terminate()
            self._count -= 1
            self._wake()
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return
        self._idle.append(connection)

    def _wake(self) -> None:
        """Have one of those that wait open a connection in place of one that is gone."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    def translated(self, error: Exception, connection: Any) -> PostgresError:
        """Return the error for callers; a connection that cannot be used further is ended."""
        place = self.address
        if isinstance(error, PostgresError):
            return error
        if isinstance(error, TimeoutError):
            if connection is not None:
                connection.terminate()
            return PostgresUnavailableError(f"{place}: no answer in time")
        text = str(error) or type(error).__name__
        if isinstance(error, asyncpg.PostgresError):
            state = error.sqlstate or ""
            if state == "25006":
                # After a failover the same address may be that of the new primary.
                if connection is not None:
                    connection.terminate()
                return PostgresUnavailableError(f"{place}: it is read-only, such as a standby: {text}", state)
            if state.startswith("28") or state in ("3D000", "42501"):
                return PostgresRefusedError(f"{place}: {text}", state)
            if state == "53100":
                return PostgresFullError(f"{place}: {text}", state)
            if state.startswith(("08", "40", "53", "57", "58", "XX")) or state == "55P03":
                if connection is not None and state.startswith(("08", "57P", "58", "XX")):
                    connection.terminate()
                return PostgresUnavailableError(f"{place}: {text}", state)
            return PostgresError(f"{place}: {text}", state)
        if isinstance(error, asyncpg.ClientConfigurationError):
            return PostgresRefusedError(f"{place}: the URL cannot be used: {_without_values(text)}")
        if isinstance(error, asyncpg.InterfaceError) and connection is not None and not connection.is_closed():
            return PostgresError(f"{place}: {text}")
        if connection is not None:
            connection.terminate()
        return PostgresUnavailableError(f"{place}: {text}")


async def require_primary(pool: PostgresPool, oldest_version: int = 13) -> list[str]:
    """Check that a server takes durable changes; return what an operator should know, a sentence each.

    Raises PostgresRefusedError if it is a standby, read-only, too old or not in UTF-8, and PostgresError.
    """
    ((version, standby, read_only, encoding, fsync, full_page_writes),) = await pool.fetch(
        "SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery(),"
        " current_setting('default_transaction_read_only') = 'on', current_setting('server_encoding'),"
        " current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on'"
    )
    place = pool.address
    if version < oldest_version:
        raise PostgresRefusedError(f"{place}: version {version} is too old: {oldest_version} or later is needed")
    if standby:
        raise PostgresRefusedError(f"{place}: it is a standby, which takes no changes: name the primary")
    if read_only:
        raise PostgresRefusedError(f"{place}: default_transaction_read_only is on: name a server that takes changes")
    if encoding != "UTF8":
        raise PostgresRefusedError(f"{place}: its encoding is {encoding}: create the database with ENCODING 'UTF8'")
    off = [name for name, value in (("fsync", fsync), ("full_page_writes", full_page_writes)) if not value]
    return [f"{place}: {name} is off, so that a power loss can damage or lose what was acknowledged" for name in off]


def run_apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in an event loop of its own, in a thread, and return its result. It blocks the caller.

    Raises what the coroutine raises.
    """
    outcome: list[Result] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 (raised below)
            failed.append(error)

    thread = Thread(target=run, name="postgres")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return outcome[0]


def _left_s(until_s: float) -> float:
    return max(0.001, until_s - asyncio.get_running_loop().time())


def _was_rolled_back(error: Exception) -> bool:
    """Tell whether the server ended the transaction in favour of another one."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith("40")


def _without_values(text: str) -> str:
    """Drop the quoted parts of a message, which may be parts of a URL."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "...", text)


async def _close(connection: Any) -> None:
    try:
        await connection.close(timeout=_CLOSE_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
