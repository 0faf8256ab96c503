"""Lines on their way to a file or to standard output: collected from any thread, written by one."""

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
# Small enough that the event loop, which waits for the interpreter meanwhile, does not notice.
_LINES_AT_ONCE = 64
_STDOUT = 1


class LogLine(Protocol):
    """Something that happened, taken down cheaply; what it says is worked out by the writing thread."""

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds."""

    def values(self) -> dict[str, object]:
        """Return what the line says: `time` (nanoseconds since the epoch), `level`, `message`, then the rest."""


def _size_bytes(line: LogLine | bytes) -> int:
    return len(line) if isinstance(line, bytes) else line.size_bytes


class LineWriter:
    """Appends lines to a file, or writes them to standard output, without ever making a caller wait for the disk.

    Lines appear at most 50 ms after they were written, and all of them by the time `flush` or `close` returns. Several
    processes may append to one file: whole lines go in one write. A file that was renamed or removed (logrotate) is
    made anew. While the file cannot be written (a full disk) the lines wait; beyond `limit_bytes` further ones are
    dropped and counted, those that are to be kept only beyond `kept_limit_bytes`. The log itself says how many.
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

        Raises OSError if that cannot be done; with `waits` lines are held until it can be.
        """
        self.dropped = 0
        self._said_dropped = 0
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
        """Take a line; `keep` what must not be lost because others are many."""
        self.write_all([line], keep=keep)

    def write_all(self, lines: Iterable[LogLine | bytes], *, keep: bool) -> None:
        """Take lines, or what they look like already, the newline included."""
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
        """Return once all lines taken so far are written; False if that did not happen in time."""
        with self._changed:
            accepted = self._accepted
            self._hurry.set()
            self._wake.set()
            return self._changed.wait_for(lambda: self._written >= accepted, timeout_s)

    def close(self) -> None:
        """Write what waits, for at most 5 s, and close the file. Twice is once."""
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
        if self.dropped > self._said_dropped:
            lines.append(self.form(_notice("log lines dropped", lines=self.dropped - self._said_dropped)))
            self._said_dropped = self.dropped
        failed = False
        for piece in self._sink.pieces(lines):
            failed = self._append(piece, failed=failed)
        if failed:
            _say(f"{self._sink.name} is written again")

    def _append(self, piece: bytes, *, failed: bool) -> bool:
        """Append, trying again each second until it works or the process ends; tell whether it failed on the way."""
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[self._sink.append(rest) :]
            except OSError as error:
                if not failed:
                    _say(f"{self._sink.name} cannot be written: {error}")
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
        """Open the file, in place of one that is open. Raises OSError, and nothing changes."""
        opened = _STDOUT if self._path is None else open_log(self._path)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = opened
        self._status = os.fstat(opened)

    def pieces(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Join the lines into as few writes as nobody else's lines can come between."""
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
        """Write some of it, and return how many bytes. Raises OSError."""
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
    """Return a descriptor that appends to a log, made if it is not there, for its owner alone. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _notice(message: str, **values: object) -> dict[str, object]:
    return {"time": time.time_ns(), "level": "warn", "message": message, **values}


def _say(text: str) -> None:
    """Say on standard error what the log cannot say."""
    print(f"zot: log: {text}", file=sys.stderr, flush=True)  # noqa: T201 (there is nowhere else to say it)
