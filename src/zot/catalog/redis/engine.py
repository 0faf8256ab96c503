"""How a start opens the catalog in Redis (a `CatalogEngine`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from zot.catalog.command import new_id
from zot.catalog.interface import Catalog, CatalogError, CatalogUnusableError
from zot.catalog.owner_commands import LEASE_S
from zot.catalog.redis.codec import decode_value, encode_fields
from zot.catalog.redis.driver import RedisCatalog
from zot.catalog.redis.script_calls import ScriptCalls
from zot.catalog.redis.scripts import command_script
from zot.catalog.redis.server import RedisPlace, read_settings
from zot.databases.redis_client import disconnect
from zot.databases.redis_connection import SharedConnection

_log = logging.getLogger("zot.catalog")

_Result = TypeVar("_Result")


class RedisCatalogEngine:
    """`CatalogEngine` in Redis; its laws are stated there."""

    needs_writer = False
    log_file: Path | None = None

    def __init__(self, place: RedisPlace, store: str, *, is_alone: bool) -> None:
        """`store` is the id of the store that the catalog describes: that of another one is refused.

        `is_alone`: a start holds locks that exclude every other server on this store.
        """
        self._place = place
        self._store = store
        self._is_alone = is_alone

    def __str__(self) -> str:
        return f"in {self._place}"

    def release_reserve(self) -> None:
        """See `CatalogEngine`: no disk space is held."""

    def check(self) -> list[str]:
        """See `CatalogEngine`."""
        return self._blocking(self._warnings)

    def exists(self) -> bool:
        """See `CatalogEngine`. Raises CatalogError if the server cannot be reached."""
        key = f"{self._place.prefix}store"
        return bool(self._blocking(lambda calls: calls.command("EXISTS", key)))

    def damage(self) -> str | None:
        """See `CatalogEngine`: the server itself refuses to start on damaged files."""
        return None

    def begin(self, owner: str) -> str:
        """See `CatalogEngine`. Raises CatalogUnavailableError if the server cannot be reached."""
        self._blocking(lambda calls: self._begin(calls, owner))
        return owner

    def open(self, owner: str) -> Catalog:
        """See `CatalogEngine`."""
        self.begin(owner)
        return RedisCatalog(self._place, owner)

    def connect(self, owner: str, boot: str) -> Catalog:
        """See `CatalogEngine`: the boot is the owner."""
        assert owner == boot
        return RedisCatalog(self._place, owner)

    async def run_writer(self, boot: str, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """Raise CatalogError: the server is the writer."""
        del stop, ready
        raise CatalogError(f"the catalog {self} needs no writer for boot {boot}")

    def require_saving(self) -> None:
        """Raise CatalogError: the server saves itself."""
        self._refuse("back it up")

    def save(self, directory: Path) -> list[str]:
        """Raise CatalogError: the server saves itself."""
        del directory
        self._refuse("back it up")

    def open_saved(self, directory: Path) -> Catalog:
        """Raise CatalogError."""
        del directory
        self._refuse("back it up")

    def mark_restored(self) -> None:
        """Raise CatalogError."""
        self._refuse("restore it")

    def _refuse(self, what: str) -> NoReturn:
        raise CatalogError(f"the catalog is {self}: {what} with the server's own files (RDB, AOF)")

    async def _warnings(self, calls: ScriptCalls) -> list[str]:
        settings = await read_settings(calls)
        settings.require_no_eviction(self._place)
        warning = settings.warning(self._place)
        return [warning] if warning else []

    async def _begin(self, calls: ScriptCalls, owner: str) -> None:
        for warning in await self._warnings(calls):
            _log.warning("%s", warning)
        fields = {
            "id": new_id(),
            "owner": owner,
            "lease_s": LEASE_S,
            "store": self._store,
            "is_alone": self._is_alone,
        }
        _, packed = await calls.evaluate(command_script("Begin"), "Begin", encode_fields(fields), 0)
        if (store := decode_value(packed)) != self._store:
            raise CatalogUnusableError(
                f"the catalog {self} belongs to the store {store}, this one is {self._store}: "
                "give each store a keyprefix of its own"
            )

    def _blocking(self, work: Callable[[ScriptCalls], Coroutine[Any, Any, _Result]]) -> _Result:
        """Run something with a connection of its own, in a thread, since the caller may be in an event loop."""

        async def run() -> _Result:
            client = self._place.client()
            calls = ScriptCalls(SharedConnection(client, self._place.prefix), self._place.prefix, str(self._place))
            try:
                return await work(calls)
            finally:
                await calls.close()
                await disconnect(client)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()
