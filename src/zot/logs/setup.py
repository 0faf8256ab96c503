"""Sets up the logs of a process, as the configuration's section `log` says."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from zot.logs.formatters import json_line, text_line
from zot.logs.handler import PANIC, TRACE, LineHandler
from zot.logs.writer import LineWriter

LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": PANIC,
}
"""zot's names of levels; `trace` is everything."""

AUDIT = "zot.audit"
"""The logger of the audit log: its records go to that file only, at any level."""


class Logs:
    """Writes everything that the standard library's `logging` receives, until `close`.

    The level applies to this program. Libraries log from WARNING on, at any level: their finer lines are about
    themselves, and may hold secrets.
    """

    def __init__(
        self,
        level: str,
        output: str = "",
        audit: str = "",
        form: Literal["text", "json"] | None = None,
        *,
        waits: bool = False,
    ) -> None:
        """Open the files; an empty `output` is standard output, an empty `audit` means no audit log.

        `form` None: text if standard output is a terminal, else JSON. The audit log is always JSON. Raises KeyError
        for an unknown level, OSError if a file cannot be opened; with `waits` lines are queued until it can be.
        """
        self.level = LEVELS[level.lower()]
        if form is None:
            form = "text" if not output and sys.stdout.isatty() else "json"
        self.writer = LineWriter(
            Path(output) if output else None, text_line if form == "text" else json_line, waits=waits
        )
        try:
            self.audit_writer = LineWriter(Path(audit), json_line, waits=waits) if audit else None
        except OSError:
            self.writer.close()
            raise
        self._install()

    def __enter__(self) -> Self:
        """Be closed at the end of a `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @property
    def shows_access(self) -> bool:
        """Whether the level lets access lines through, which have level `info`."""
        return self.level <= logging.INFO

    @property
    def dropped(self) -> int:
        """How many lines were lost because the disk did not keep up."""
        return self.writer.dropped + (self.audit_writer.dropped if self.audit_writer is not None else 0)

    def close(self) -> None:
        """Write the queued lines and restore the standard library's logging. Idempotent."""
        for logger, handler in self._handlers:
            logger.removeHandler(handler)
        self._handlers.clear()
        for logger, level in self._levels:
            logger.setLevel(level)
        logging.captureWarnings(capture=False)
        self.writer.close()
        if self.audit_writer is not None:
            self.audit_writer.close()

    def _install(self) -> None:
        logging.addLevelName(TRACE, "TRACE")
        root, own, audit = logging.getLogger(), logging.getLogger("zot"), logging.getLogger(AUDIT)
        self._levels = [(logger, logger.level) for logger in (root, own, audit)]
        root.setLevel(max(self.level, logging.WARNING))
        own.setLevel(self.level)
        audit.setLevel(logging.INFO)
        audit.propagate = False
        logging.captureWarnings(capture=True)
        handler = logging.NullHandler() if self.audit_writer is None else LineHandler(self.audit_writer, audit=True)
        self._handlers: list[tuple[logging.Logger, logging.Handler]] = [
            (root, LineHandler(self.writer)),
            (audit, handler),
        ]
        for logger, each in self._handlers:
            logger.addHandler(each)
