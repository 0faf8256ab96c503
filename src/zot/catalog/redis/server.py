"""The server of the catalog: where it is, and whether its settings keep what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zot.catalog.interface import CatalogError, CatalogUnusableError
from zot.catalog.redis.script_calls import ScriptCalls
from zot.config.redis_options import RedisOptions
from zot.databases.redis_client import connect

DEFAULT_PREFIX = "zot"

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """A server, and the keys of one store in it."""

    options: RedisOptions

    def __str__(self) -> str:
        """Name the server without secrets."""
        where = self.options.unix_socket or ",".join(self.options.addresses)
        return f"Redis at {where}"

    @property
    def prefix(self) -> str:
        """Return the prefix of all keys. Braces make it the hash tag by which a cluster finds the slot."""
        return f"{{{self.options.key_prefix.removesuffix(':') or DEFAULT_PREFIX}}}:{SCHEMA}:"

    def client(self) -> Any:
        """Return a new client, which connects on first use."""
        return connect(self.options)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of a server that decide what it may lose. None: it does not tell."""

    maxmemory_policy: str | None
    aof_enabled: bool | None
    appendfsync: str | None

    def require_no_eviction(self, place: RedisPlace) -> None:
        """Raise CatalogUnusableError if the server may delete keys when its memory is full."""
        if self.maxmemory_policy not in (None, "noeviction"):
            raise CatalogUnusableError(
                f"{place} deletes keys when its memory is full (maxmemory-policy {self.maxmemory_policy}): "
                "set maxmemory-policy noeviction"
            )

    def warning(self, place: RedisPlace) -> str | None:
        """Return what a crash of the server may cost; None: nothing that was acknowledged."""
        if self.aof_enabled and self.appendfsync == "always":
            return None
        remedy = "set appendonly yes and appendfsync always"
        if self.aof_enabled is False:
            return f"{place} has no append-only file: all changes since its last snapshot may be lost with it. {remedy}"
        if self.appendfsync is None:
            return f"{place} does not tell whether it syncs each change to its disk. {remedy}"
        return f"{place} has appendfsync {self.appendfsync}: a power loss may cost the changes of a second. {remedy}"


async def read_settings(calls: ScriptCalls) -> ServerSettings:
    """Return the settings of the server. Raises CatalogUnavailableError if it cannot be reached, CatalogError."""
    memory = _fields(await calls.command("INFO", "memory"))
    persistence = _fields(await calls.command("INFO", "persistence"))
    try:
        pair = await calls.command("CONFIG", "GET", "appendfsync")
    except CatalogError:
        # Servers that others run often refuse it.
        pair = None
    values = list(pair.values()) if isinstance(pair, dict) else (pair or [])[1:]
    aof = persistence.get("aof_enabled")
    return ServerSettings(
        memory.get("maxmemory_policy"), None if aof is None else aof == "1", values[0].decode() if values else None
    )


def _fields(info: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in info.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
