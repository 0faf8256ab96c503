"""The fields of a log line besides its message."""

from __future__ import annotations

from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the current request, which its log lines carry as `requestId`. Empty: none."""


def fields(**values: object) -> dict[str, object]:
    """Return the `extra` of a log call, which adds these fields to its line.

    `_log.info("repository imported", extra=fields(repository=name, manifests=12))`. A value that is not JSON is
    written as text. Fields with the name of a secret are masked.
    """
    return {"fields": values}
