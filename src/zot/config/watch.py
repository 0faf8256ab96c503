"""Seeing that files change: the configuration, the files it names, password files, certificates."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from watchfiles import awatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping
    from pathlib import Path

# An editor or a deployment makes several changes in a row: they are reported together.
QUIET_MS = 150
LONGEST_WAIT_MS = 1500
# Also looked at without a notice: network file systems send none, and the kernel's watches are limited.
POLL_MS = 1000

Signature = tuple[int, int, int, int] | None


class Watch:
    """Watches files, through their directories.

    A watch on a file itself is lost when the file is replaced, as editors do, and as Kubernetes does by swapping the
    symlink of a whole directory. So directories are watched, and a file has changed when its path leads to another
    inode, size or time than before. A change between the making of the watch and `changes` is reported too: make the
    watch first, then read the files.
    """

    def __init__(self, paths: Iterable[Path], seen: Mapping[Path, Signature] | None = None) -> None:
        """Take the files, and what they looked like when they were read; absent: they look like that now."""
        self._seen = signatures(paths) | dict(seen or {})
        self._stop = asyncio.Event()

    @property
    def seen(self) -> dict[Path, Signature]:
        """What the files looked like when they were last looked at."""
        return dict(self._seen)

    def follow(self, paths: Iterable[Path]) -> None:
        """Watch these files from now on, in place of those before; those in both keep what was seen of them."""
        self._seen = {path: self._seen[path] if path in self._seen else _signature(path) for path in paths}

    def stop(self) -> None:
        """End `changes`, within a second; called twice, nothing more happens."""
        self._stop.set()

    async def changes(self) -> AsyncGenerator[frozenset[Path], None]:
        """Yield the files that were written, replaced, removed or made since the last time, until `stop`."""
        with ThreadPoolExecutor(1, thread_name_prefix="watch") as pool:
            loop = asyncio.get_running_loop()
            while not self._stop.is_set():
                directories = await loop.run_in_executor(pool, _directories, tuple(self._seen))
                async with aclosing(self._notices(directories)) as notices:
                    async for _ in notices:
                        if changed := self._note(await loop.run_in_executor(pool, signatures, tuple(self._seen))):
                            yield changed
                        if directories != await loop.run_in_executor(pool, _directories, tuple(self._seen)):
                            break

    def _note(self, found: dict[Path, Signature]) -> frozenset[Path]:
        """Remember the signatures, and return the files that have another one than before."""
        changed = {path: now for path, now in found.items() if path in self._seen and self._seen[path] != now}
        self._seen |= changed
        return frozenset(changed)

    async def _notices(self, directories: frozenset[Path]) -> AsyncGenerator[None, None]:
        """Yield at once, after each change in the directories, and once a second."""
        yield
        if directories:
            # A directory may be gone by now, or the kernel out of watches: then polling has to do for a second.
            with suppress(OSError, RuntimeError):
                async with aclosing(self._events(directories)) as events:
                    async for _ in events:
                        yield
        if not self._stop.is_set():
            await asyncio.sleep(POLL_MS / 1000)

    def _events(self, directories: frozenset[Path]) -> AsyncGenerator[object, None]:
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


def _directories(paths: tuple[Path, ...]) -> frozenset[Path]:
    """Return where a change of the files would show: beside each path, and where a symlink leads."""
    directories = set()
    for path in paths:
        directories.add(path.parent)
        with suppress(OSError, RuntimeError):  # links that lead in a circle
            directories.add(path.resolve().parent)
    return frozenset(directory for directory in directories if _signature(directory) and directory.is_dir())


def signatures(paths: Iterable[Path]) -> dict[Path, Signature]:
    """Return what files look like now, without reading them: inode, size and time; None: there is none."""
    return {path: _signature(path) for path in paths}


def _signature(path: Path) -> Signature:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
