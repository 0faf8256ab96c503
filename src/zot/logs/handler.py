"""Turns the records of the standard library's logging into log lines."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import msgspec

import zot
from zot.logs.fields import REQUEST_ID
from zot.logs.masking import masked_fields, masked_text
from zot.logs.writer import LineWriter

TRACE, PANIC = 5, 60

_SOURCE = f"{Path(zot.__file__).parents[1]}/"
# The memory of a record besides its texts.
_OVERHEAD_BYTES = 500


class RecordLine(msgspec.Struct, frozen=True):
    """An immutable copy of a log record, made when it was logged."""

    time_ns: int
    level: str
    message: str
    fields: dict[str, object]
    request_id: str = ""
    error: str | None = None
    traceback: str | None = None
    source: dict[str, object] = msgspec.field(default_factory=dict)
    """zot's `caller`, `func` and `goroutine`; empty in the audit log."""

    @property
    def size_bytes(self) -> int:
        """The approximate memory it takes."""
        return _OVERHEAD_BYTES + len(self.message) + len(self.traceback or "")

    def values(self) -> dict[str, object]:
        """Return the fields of the line as zot names them, with secrets masked."""
        values = {"time": self.time_ns, "level": self.level, "message": masked_text(self.message)}
        for name, value in masked_fields(self.fields).items():
            # The line's own fields cannot be replaced.
            values.setdefault(name, value)
        if self.request_id:
            values.setdefault("requestId", self.request_id)
        if self.error is not None:
            values["error"] = masked_text(self.error)
        if self.traceback is not None:
            values["traceback"] = masked_text(self.traceback)
        return values | self.source


class LineHandler(logging.Handler):
    """Passes each log record to a writer as one line."""

    def __init__(self, writer: LineWriter, *, audit: bool = False) -> None:
        """`audit`: lines are dropped last when the disk is slow, and have no place in the source."""
        super().__init__()
        self._writer = writer
        self._audit = audit

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; the caller does not wait for the disk."""
        try:
            line = RecordLine(
                time_ns=round(record.created * 1_000_000) * 1000,
                level=level_name(record.levelno),
                message=record.getMessage(),
                fields=getattr(record, "fields", {}),
                request_id=REQUEST_ID.get(),
                **_error(record),
                source={} if self._audit else _source(record),
            )
        except Exception:  # noqa: BLE001 (as every handler of the standard library: a wrong call must not break its caller)
            self.handleError(record)
            return
        self._writer.write(line, keep=self._audit or record.levelno >= logging.WARNING)

    def flush(self) -> None:
        """Write the queued lines; the standard library calls this when the process ends."""
        self._writer.flush()


def level_name(number: int) -> str:
    """Return zot's name of a level."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    if number >= logging.INFO:
        return "info"
    return "debug" if number >= logging.DEBUG else "trace"


def _error(record: logging.LogRecord) -> dict[str, str]:
    if record.exc_info is None or record.exc_info[1] is None:
        return {}
    error = record.exc_info[1]
    return {
        "error": str(error) or type(error).__name__,
        "traceback": "".join(traceback.format_exception(error)).rstrip(),
    }


def _source(record: logging.LogRecord) -> dict[str, object]:
    return {
        "caller": f"{record.pathname.removeprefix(_SOURCE)}:{record.lineno}",
        "func": f"{record.name}.{record.funcName}",
        "goroutine": record.thread,
    }
