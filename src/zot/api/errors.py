"""Error responses: one place, one form (distribution-spec, Error codes)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import msgspec
from aiohttp import web

from zot.catalog.interface import CatalogFullError, CatalogUnavailableError, LeaseEndedError
from zot.foundation.bounded_map import BoundedMap
from zot.registry.errors import (
    InsufficientStorage,
    RegistryError,
    TooManyRequests,
    Unavailable,
    Unsupported,
    UploadBusy,
)
from zot.storage.interface import (
    StorageBusyError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    UploadLockedError,
)

_log = logging.getLogger("zot.api")

_REPEATED_AFTER_S = 60.0
_REASONS_LIMIT = 256
_logged: BoundedMap[str, float] = BoundedMap(_REASONS_LIMIT)


class ErrorResponse(Exception):
    """A refusal with the headers that its response needs."""

    def __init__(self, error: RegistryError, headers: Mapping[str, str]) -> None:
        """Respond with an error and these headers."""
        super().__init__(str(error))
        self.error = error
        self.headers = headers


class MethodNotAllowed(Unsupported):
    """The path has no such method."""

    def __init__(self, description: str = "", /, allowed: tuple[str, ...] = (), **detail: object) -> None:
        """Refuse a method; the response lists the `allowed` ones (RFC 9110, section 15.5.6)."""
        super().__init__(description, **detail)
        self.allowed = allowed


class InternalError(RegistryError):
    """A fault of the server. The log says which, the response does not."""

    code, status, message = "UNKNOWN", 500, "unknown error"


def error_response(error: RegistryError, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the response to a refusal: code, message and detail, in the specification's form."""
    # The request may have had bytes that are no text: the error is described all the same.
    detail = {name: value.encode(errors="replace").decode() for name, value in error.detail.items()}
    body = {"errors": [{"code": error.code, "message": error.message, "detail": detail}]}
    response = web.Response(
        status=error.status, body=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
    )
    response.headers.extend(headers or {})
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    if isinstance(error, Unavailable | TooManyRequests) and error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def to_registry_error(error: Exception) -> RegistryError:
    """Return the error that a client gets for any exception of a use case; faults of the server are logged."""
    match error:
        case Unavailable():
            _log_unavailable(error)
            return error
        case RegistryError():
            return error
        case StorageFullError() | CatalogFullError():
            _log.error("no room: %s", error)
            return InsufficientStorage(retry_after_s=60)
        case UploadLockedError():
            return UploadBusy("another request holds the upload")
        case StorageBusyError():
            return Unavailable("too much is waiting for the disk", retry_after_s=1)
        case CatalogUnavailableError():
            _log.error("catalog unavailable: %s", error)
            return Unavailable("the catalog cannot be reached")
        case LeaseEndedError():
            _log.error("the catalog refuses this server: %s", error)
            return Unavailable("another server has taken over the work of this one")
        case StorageUnavailableError():
            _log.error("storage unavailable: %s", error)
            return Unavailable("the storage cannot be used")
        case StorageError():
            _log.error("storage failed: %s", error)
            return InternalError("the storage failed")
        case _:
            _log.error("panic recovered: %r", error, exc_info=error)
            return InternalError()


def _log_unavailable(error: Unavailable) -> None:
    """Log why requests are refused with 503: each reason once, and again after a minute if it still holds."""
    reason = f"{error}: {error.__cause__}" if error.__cause__ is not None else str(error)
    now_s = time.monotonic()
    if now_s - _logged.get(reason, float("-inf")) < _REPEATED_AFTER_S:
        return
    _logged[reason] = now_s
    _log.warning("requests are answered 503: %s", reason)


def method_not_allowed(method: str, *allowed: str) -> MethodNotAllowed:
    """Return the refusal of a method that a path does not have, among those that it has."""
    return MethodNotAllowed(f"{method[:16]} is not a method of this resource", allowed=allowed)
