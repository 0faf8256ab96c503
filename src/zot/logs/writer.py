"""Writes lines to a file or standard output: queued by any thread, written by one."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from zot.logs.formatters import Form

MIB = 1024 * 1024

QUEUE_LIMIT_BYTES = 16 * MIB
KEPT_LIMIT_BYTES = 64 * MIB

_GATHER_S = 0.05
_RETRY_S = 1.0
_CLOSE_S = 5.0
# Few enough that the event loop, which needs the same interpreter lock, is not delayed.
_LINES_AT_ONCE = 64
_STDOUT = 1


class LogLine(Protocol):
    """A line that is cheap to queue; the writing thread renders it."""

    @property
    def size_bytes(self) -> int:
        """The approximate memory it takes."""

    def values(self) -> dict[str, object]:
        """Return the fields: `time` (nanoseconds since the epoch), `level`, `message`, then the others."""


def _size_bytes(line: LogLine | bytes) -> int:
    return len(line) if isinstance(line, bytes) else line.size_bytes


class LineWriter:
    """Appends lines to a file or standard output without making a caller wait for the disk.

    A queued line is written within 50 ms, and before `flush` or `close` returns. Several processes may append to one
    file: each write has whole lines. A file that was renamed or removed (logrotate) is created again. While the file
    cannot be written (a full disk) lines stay queued; beyond `limit_bytes` further ones are dropped and counted, lines
    with `keep` only beyond `kept_limit_bytes`. The log reports how many were dropped.
    """

    def __init__(
        self,
        path: Path | None,
        form: Form,
        limit_bytes: int = QUEUE_LIMIT_BYTES,
        kept_limit_bytes: int = KEPT_LIMIT_BYTES,
        *,
        waits: bool = False,
    ) -> None:
        """Open the file (mode 0600), or standard output for None.

        Raises OSError if it cannot be opened; with `waits` lines are queued until it can be.
        """
        self.dropped = 0
        self._reported_dropped = 0
        self.form = form
        self._limit_bytes, self._kept_limit_bytes = limit_bytes, kept_limit_bytes
        self._sink = _Sink(path, waits=waits)
        self._lines: list[LogLine | bytes] = []
        self._held_bytes = 0
        self._accepted = self._written = 0
        self._changed = threading.Condition()
        self._wake, self._hurry, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: LogLine, *, keep: bool) -> None:
        """Queue a line; with `keep` it is dropped only at the higher limit."""
        self.write_all([line], keep=keep)

    def write_all(self, lines: Iterable[LogLine | bytes], *, keep: bool) -> None:
        """Queue lines, or rendered ones with their newline."""
        limit_bytes = self._kept_limit_bytes if keep else self._limit_bytes
        with self._changed:
            for line in lines:
                size_bytes = _size_bytes(line)
                if self._held_bytes + size_bytes > limit_bytes:
                    self.dropped += 1
                    continue
                self._held_bytes += size_bytes
                self._accepted += 1
                self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout_s: float = _CLOSE_S) -> bool:
        """Wait until all lines queued so far are written; return False after `timeout_s`."""
        with self._changed:
            accepted = self._accepted
            self._hurry.set()
            self._wake.set()
            return self._changed.wait_for(lambda: self._written >= accepted, timeout_s)

    def close(self) -> None:
        """Write the queued lines, for at most 5 s, and close the file. Idempotent."""
        self.flush()
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._hurry.wait(_GATHER_S)
            self._wake.clear()
            self._hurry.clear()
            self._write_out()
        self._write_out()
        self._sink.close()

    def _write_out(self) -> None:
        while True:
            with self._changed:
                batch = self._lines[:_LINES_AT_ONCE]
                del self._lines[:_LINES_AT_ONCE]
            if not batch:
                return
            self._write_batch([self._encoded(line) for line in batch])
            with self._changed:
                self._held_bytes -= sum(map(_size_bytes, batch))
                self._written += len(batch)
                self._changed.notify_all()

    def _write_batch(self, lines: list[bytes]) -> None:
        if self.dropped > self._reported_dropped:
            lines.append(self.form(_notice("log lines dropped", lines=self.dropped - self._reported_dropped)))
            self._reported_dropped = self.dropped
        failed = False
        for piece in self._sink.pieces(lines):
            failed = self._append(piece, failed=failed)
        if failed:
            _report(f"{self._sink.name} can be written again")

    def _append(self, piece: bytes, *, failed: bool) -> bool:
        """Append, retrying each second until it works or the writer closes; return whether any write failed."""
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[self._sink.append(rest) :]
            except OSError as error:
                if not failed:
                    _report(f"{self._sink.name} cannot be written: {error}")
                failed = True
                if self._closing.wait(_RETRY_S):
                    return failed
        return failed

    def _encoded(self, line: LogLine | bytes) -> bytes:
        if isinstance(line, bytes):
            return line
        try:
            return self.form(line.values())
        except Exception as error:  # noqa: BLE001 (one bad line must not end the log)
            return self.form(_notice("log line could not be written", error=repr(error)))


class _Sink:
    """The file that lines are appended to, or standard output."""

    def __init__(self, path: Path | None, *, waits: bool) -> None:
        self.name = "standard output" if path is None else str(path)
        self._path = path
        self._descriptor: int | None = None
        try:
            self._open()
        except OSError:
            if not waits:
                raise

    def _open(self) -> None:
        """Open the file, in place of the open one, which stays open on OSError."""
        opened = _STDOUT if self._path is None else open_log(self._path)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = opened
        self._status = os.fstat(opened)

    def pieces(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Join the lines into the fewest writes that are atomic: to a pipe at most PIPE_BUF bytes."""
        if self._descriptor is None or stat.S_ISREG(self._status.st_mode):
            yield b"".join(lines)
            return
        piece = b""
        for line in lines:
            if piece and len(piece) + len(line) > select.PIPE_BUF:
                yield piece
                piece = b""
            piece += line
        yield piece

    def append(self, content: memoryview) -> int:
        """Write a part of the content and return its size in bytes. Raises OSError."""
        if self._descriptor is None or (self._path is not None and self._was_moved(self._path)):
            self._open()
        assert self._descriptor is not None
        return os.write(self._descriptor, content)

    def close(self) -> None:
        if self._path is not None and self._descriptor is not None:
            os.close(self._descriptor)

    def _was_moved(self, path: Path) -> bool:
        try:
            return not os.path.samestat(path.stat(), self._status)
        except FileNotFoundError:
            return True


def open_log(path: Path) -> int:
    """Open a log for appending, created with mode 0600, and return its descriptor. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _notice(message: str, **values: object) -> dict[str, object]:
    return {"time": time.time_ns(), "level": "warn", "message": message, **values}


def _report(text: str) -> None:
    """Report a failure of the log on standard error."""
    print(f"zot: log: {text}", file=sys.stderr, flush=True)  # noqa: T201 (the log itself has failed)
