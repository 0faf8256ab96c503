"""The write-ahead log: how long it is, and when its pages are copied into the database (a checkpoint).

Only the writer checkpoints, between batches. Copying does not delay readers. Restarting the log waits until no
reader needs it, so it is forced only when the log has grown long.
"""

from __future__ import annotations

import logging

import apsw

PAGE_BYTES = 4096
_IDLE_PAGES = (4 << 20) // PAGE_BYTES
_BUSY_PAGES = (16 << 20) // PAGE_BYTES
_LONG_PAGES = (64 << 20) // PAGE_BYTES
_STEP_PAGES = (4 << 20) // PAGE_BYTES

_logger = logging.getLogger(__name__)


class WriteAheadLog:
    """The log of the writer's connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Watch the commits of a connection, whose own checkpoints this ends."""
        self._connection = connection
        self._pages = 0
        self._copied_pages = 0
        self._next_pages = _BUSY_PAGES
        connection.set_wal_hook(self._committed)

    @property
    def bytes(self) -> int:
        """Return how long the log is."""
        return self._pages * PAGE_BYTES

    @property
    def uncopied_bytes(self) -> int:
        """Return how much the database may still grow by what is in the log alone."""
        return (self._pages - self._copied_pages) * PAGE_BYTES

    @property
    def wants_idle(self) -> bool:
        """Tell whether enough pages wait to copy them in a pause."""
        return self._pages - self._copied_pages >= _IDLE_PAGES

    def tend(self, *, idle: bool) -> None:
        """Copy pages if there is a pause and they are worth it, or if they are many. Raises apsw.IOError."""
        if self._pages < self._next_pages and not (idle and self.wants_idle):
            return
        self._next_pages = self._pages + _STEP_PAGES
        self._copied_pages = self._pages
        restart = self._pages >= _LONG_PAGES
        mode = apsw.SQLITE_CHECKPOINT_RESTART if restart else apsw.SQLITE_CHECKPOINT_PASSIVE
        try:
            self._connection.wal_checkpoint(mode=mode)
        except (apsw.BusyError, apsw.FullError) as error:
            _logger.warning("the catalog's log stays at %d MiB for now: %s", self.bytes >> 20, error)

    def empty(self) -> None:
        """Copy all pages and cut the log to nothing. Raises apsw.BusyError, apsw.FullError, apsw.IOError."""
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        if pages < self._pages:  # it was restarted
            self._copied_pages = 0
            self._next_pages = _BUSY_PAGES
        self._pages = pages
        return apsw.SQLITE_OK
