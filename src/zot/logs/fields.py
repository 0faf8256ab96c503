"""What a log line says besides its message."""

from __future__ import annotations

from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The request that is being answered; lines written meanwhile name it. Empty: none."""


def fields(**values: object) -> dict[str, object]:
    """Return the `extra` of a log call that gives its line these fields.

    `_log.info("repository adopted", extra=fields(repository=name, manifests=12))`. Values are plain JSON, anything
    else is written as text; those whose name says that they are secret are masked.
    """
    return {"fields": values}
