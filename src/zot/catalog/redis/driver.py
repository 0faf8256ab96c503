"""The catalog in Redis: a command is one script call, and so is a read."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from zot.catalog.command import REMEMBERED_S, Command
from zot.catalog.interface import PAGE_LIMIT, CatalogUnavailableError, Outcome
from zot.catalog.layout_snapshot import read_layout_snapshot
from zot.catalog.owner_commands import lease_ended
from zot.catalog.quotas import RepositoryQuota, matches
from zot.catalog.redis.codec import decode_outcome, encode_command
from zot.catalog.redis.reader import RedisReader
from zot.catalog.redis.script_calls import ScriptCalls
from zot.catalog.redis.scripts import command_script
from zot.catalog.redis.server import RedisPlace
from zot.catalog.rows import LayoutSnapshot
from zot.databases.redis_client import disconnect
from zot.databases.redis_connection import SharedConnection
from zot.oci.names import Repository

_NAMES_TRIES = 5
_SNAPSHOT_TRIES, _SNAPSHOT_PAUSE_S = 4, 0.05


class RedisCatalog(RedisReader):
    """A `Catalog` in Redis. Each process has two connections, since changes may wait for replicas."""

    def __init__(self, place: RedisPlace, owner: str) -> None:
        """Connect with the first call, in the process and event loop that makes it."""
        self._client = place.client()
        reads, changes = (
            ScriptCalls(SharedConnection(self._client, place.prefix), place.prefix, str(place)) for _ in range(2)
        )
        super().__init__(reads)
        self._changes = changes
        self._replicas: int | None = None
        self._names: tuple[int, list[Repository]] | None = None
        self.owner = owner

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change and return its outcome."""
        replicas = await self._required_replicas() if command.durable else 0
        remembered_s = REMEMBERED_S if command.remembered else 0
        name = type(command).__name__
        for _ in range(_NAMES_TRIES):
            fields, contents = encode_command(command, await self._quota_fields(command))
            status, result = await self._changes.evaluate(
                command_script(name), name, fields, remembered_s, *contents, replicas=replicas
            )
            if status == b"ok":
                outcome: Outcome = decode_outcome(type(command), result)
                return outcome
            if status == b"lease ended":
                raise lease_ended(result.decode())
            self._names = None
        raise CatalogUnavailableError("repositories come and go too fast to add up what a quota allows")

    async def layout_snapshot(self, repository: Repository, limit: int, limit_bytes: int) -> LayoutSnapshot | None:
        """Return all that a repository's layout has to show, read at one moment."""
        for _ in range(_SNAPSHOT_TRIES):
            try:
                with self.one_moment():
                    return await read_layout_snapshot(self, repository, limit, limit_bytes)
            except CatalogUnavailableError:
                # It was changed in between, or is out of reach; the last try tells.
                await asyncio.sleep(_SNAPSHOT_PAUSE_S)
        with self.one_moment():
            return await read_layout_snapshot(self, repository, limit, limit_bytes)

    async def ready(self) -> None:
        """Raise CatalogUnavailableError while it cannot be reached; CatalogError."""
        await self._read("unread", "")

    async def close(self) -> None:
        """Close the connections."""
        await self._reads.close()
        await self._changes.close()
        await disconnect(self._client)

    async def _required_replicas(self) -> int:
        """Return how many replicas a durable change needs: one, if the server had any when this process began."""
        if self._replicas is None:
            self._replicas = min(1, await connected_replicas(self._changes))
        return self._replicas

    async def _quota_fields(self, command: Command[Any]) -> dict[str, Any]:
        """Return what a command with quotas has in addition: which repositories share them.

        The scripts know no globs. The names are those at a count of names, which the script compares.
        """
        quotas: tuple[RepositoryQuota, ...] = getattr(command, "quotas", ())
        if not any(each.patterns for each in quotas):
            return {}
        added: dict[str, Any] = {}
        fields = []
        for quota in quotas:
            each = msgspec.to_builtins(quota)
            if "**" in quota.patterns:
                each["everything"] = True
            elif quota.patterns:
                added["names"], known = await self._repository_names()
                each["names"] = [name for name in known if matches(quota.patterns, name)]
            fields.append(each)
        return added | {"quotas": fields}

    async def _repository_names(self) -> tuple[int, list[Repository]]:
        while self._names is None:
            names: list[Repository] = []
            counts: set[int] = set()
            after = ""
            while True:
                count, page = await self._read("names", after, PAGE_LIMIT)
                counts.add(int(count or 0))
                names += [Repository(name.decode()) for name in page]
                if len(page) < PAGE_LIMIT:
                    break
                after = names[-1]
            if len(counts) == 1:
                self._names = counts.pop(), names
        return self._names


async def connected_replicas(calls: ScriptCalls) -> int:
    """Return how many replicas the server has. Raises CatalogError."""
    replication: bytes = await calls.command("INFO", "replication")
    lines = replication.decode().splitlines()
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("connected_slaves:")), 0)
