"""What errors of Redis mean for the catalog."""

from __future__ import annotations

from redis.exceptions import (
    AskError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from zot.catalog.interface import CatalogError, CatalogFullError, CatalogUnavailableError

_PASSING = (AskError, ClusterDownError, ClusterError, MasterDownError, MovedError, ReadOnlyError, TryAgainError)
# Answers that redis-py has no class for: a script runs for long, data is being loaded, replicas are missing.
_PASSING_CODES = ("BUSY", "LOADING", "NOREPLICAS", "UNBLOCKED", "MISCONF")


def may_pass(error: Exception) -> bool:
    """Tell whether the same command may succeed in a moment, perhaps with another server."""
    if isinstance(error, ResponseError):
        return isinstance(error, _PASSING) or str(error).startswith(_PASSING_CODES)
    return isinstance(error, RedisError | OSError)


def translated(error: Exception, place: str) -> CatalogError:
    """Return the error of the catalog that an error of Redis stands for."""
    if isinstance(error, OutOfMemoryError):
        return CatalogFullError(f"the catalog in {place} is full: its memory is at maxmemory")
    if str(error).startswith("LOST"):
        return CatalogUnavailableError(
            f"the catalog in {place} is gone since this server started: restore it, or start the server again to have "
            "it made from the layouts"
        )
    if may_pass(error):
        return CatalogUnavailableError(f"the catalog in {place} cannot be reached: {error}")
    return CatalogError(f"the catalog in {place} refused a command: {error}")
