"""Notification of changed files: configuration, secret files, password files, certificates."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
    from pathlib import Path

# Editors and deployments make several changes in a row, which are reported together.
QUIET_MS = 150
LONGEST_WAIT_MS = 1500
# Files are also polled: network file systems send no notices, and the kernel limits the number of watches.
POLL_MS = 1000

Signature = tuple[int, int, int, int] | None


class Watch:
    """Watches files through their directories.

    A watch on a file itself is lost when the file is replaced, by an editor, or by Kubernetes, which swaps the symlink
    of a whole directory. Therefore directories are watched, and a file has changed when its path leads to another
    inode, size or time. Create the watch before you read the files: changes in between are reported, too.
    """

    def __init__(self, paths: Iterable[Path], seen: Mapping[Path, Signature] | None = None) -> None:
        """Watch `paths`; `seen` are their signatures when they were read, by default those of now."""
        self._seen = signatures(paths) | dict(seen or {})
        self._stop = asyncio.Event()
        self._awatch: Callable[..., AsyncGenerator[object, None]] | None = None

    @property
    def seen(self) -> dict[Path, Signature]:
        """The last known signatures of the files."""
        return dict(self._seen)

    def follow(self, paths: Iterable[Path]) -> None:
        """Replace the watched files; files that stay keep their signatures."""
        self._seen = {path: self._seen[path] if path in self._seen else _signature(path) for path in paths}

    def stop(self) -> None:
        """End `changes` within a second. Idempotent."""
        self._stop.set()

    async def changes(self) -> AsyncGenerator[frozenset[Path], None]:
        """Iterate over sets of files that were written, replaced, removed or created, until `stop`."""
        with ThreadPoolExecutor(1, thread_name_prefix="watch") as pool:
            loop = asyncio.get_running_loop()
            while not self._stop.is_set():
                directories = await loop.run_in_executor(pool, _directories, tuple(self._seen))
                async with aclosing(self._notices(directories, pool)) as notices:
                    async for _ in notices:
                        if changed := self._note(await loop.run_in_executor(pool, signatures, tuple(self._seen))):
                            yield changed
                        if directories != await loop.run_in_executor(pool, _directories, tuple(self._seen)):
                            break

    def _note(self, found: dict[Path, Signature]) -> frozenset[Path]:
        """Record new signatures and return the files whose signature changed."""
        changed = {path: now for path, now in found.items() if path in self._seen and self._seen[path] != now}
        self._seen |= changed
        return frozenset(changed)

    async def _notices(self, directories: frozenset[Path], pool: ThreadPoolExecutor) -> AsyncGenerator[None, None]:
        """Yield at once, after each change in the directories, and once a second."""
        yield
        if directories and self._awatch is not None:
            # If the directory is gone, or the kernel has no more watches, polling alone detects changes for a second.
            with suppress(OSError, RuntimeError):
                async with aclosing(self._events(self._awatch, directories)) as events:
                    async for _ in events:
                        yield
        if not self._stop.is_set():
            await asyncio.sleep(POLL_MS / 1000)
        if self._awatch is None:
            # After a second of polling, and in a thread: the first requests of a start do not wait for the import.
            self._awatch = await asyncio.get_running_loop().run_in_executor(pool, _import_awatch)

    def _events(
        self, awatch: Callable[..., AsyncGenerator[object, None]], directories: frozenset[Path]
    ) -> AsyncGenerator[object, None]:
        return awatch(
            *directories,
            watch_filter=None,
            debounce=LONGEST_WAIT_MS,
            step=QUIET_MS,
            rust_timeout=POLL_MS,
            yield_on_timeout=True,
            recursive=False,
            stop_event=self._stop,
        )


def _import_awatch() -> Callable[..., AsyncGenerator[object, None]]:
    from watchfiles import awatch  # noqa: PLC0415

    return awatch


def _directories(paths: tuple[Path, ...]) -> frozenset[Path]:
    """Return the directories of the paths and of their symlinks' targets."""
    directories = set()
    for path in paths:
        directories.add(path.parent)
        with suppress(OSError, RuntimeError):  # a loop of symlinks
            directories.add(path.resolve().parent)
    return frozenset(directory for directory in directories if _signature(directory) and directory.is_dir())


def signatures(paths: Iterable[Path]) -> dict[Path, Signature]:
    """Return the inode, size and time of each file, or None if it does not exist."""
    return {path: _signature(path) for path in paths}


def _signature(path: Path) -> Signature:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
