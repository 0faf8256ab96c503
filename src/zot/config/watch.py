"""Notification of changed files: configuration, secret files, password files, certificates."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from zot.foundation.directory_notices import DirectoryNotices

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping
    from pathlib import Path

# Editors and deployments make several changes in a row, which are reported together.
QUIET_S = 0.15
LONGEST_WAIT_S = 1.5
# Files are also polled: network file systems send no notices, and the kernel limits the number of watches.
POLL_S = 1.0

Signature = tuple[int, int, int, int] | None
Directories = frozenset[tuple["Path", int, int]]
"""Directories with device and inode: another directory of the same path needs a watch of its own."""


class Watch:
    """Watches files through their directories.

    A watch on a file itself is lost when the file is replaced, by an editor, or by Kubernetes, which swaps the symlink
    of a whole directory. Therefore directories are watched, and a file has changed when its path leads to another
    inode, size or time. Create the watch before you read the files: changes in between are reported, too.
    """

    def __init__(self, paths: Iterable[Path], seen: Mapping[Path, Signature] | None = None) -> None:
        """Watch `paths`; `seen` are their signatures when they were read, by default those of now."""
        self._seen = signatures(paths) | dict(seen or {})
        self._notices: DirectoryNotices | None = None
        self._watched: Directories = frozenset()
        self._look_for_directories = False  # for the first second: no start waits for it

    @property
    def seen(self) -> dict[Path, Signature]:
        """The last known signatures of the files."""
        return dict(self._seen)

    def follow(self, paths: Iterable[Path]) -> None:
        """Replace the watched files; files that stay keep their signatures."""
        self._seen = {path: self._seen[path] if path in self._seen else _signature(path) for path in paths}
        self._look_for_directories = True

    async def changes(self) -> AsyncGenerator[frozenset[Path], None]:
        """Iterate over sets of files that were written, replaced, removed or created, until it is closed."""
        try:
            # In a thread: a network file system may keep it waiting.
            with ThreadPoolExecutor(1, thread_name_prefix="watch") as pool:
                loop = asyncio.get_running_loop()
                while True:
                    if self._look_for_directories:
                        await loop.run_in_executor(pool, self._watch_directories)
                    if changed := self._note(await loop.run_in_executor(pool, signatures, tuple(self._seen))):
                        yield changed
                    else:
                        await self._pause()
        finally:
            self._close_notices()

    def _note(self, found: dict[Path, Signature]) -> frozenset[Path]:
        """Record new signatures and return the files whose signature changed."""
        changed = {path: now for path, now in found.items() if path in self._seen and self._seen[path] != now}
        self._seen |= changed
        self._look_for_directories |= bool(changed)
        return frozenset(changed)

    async def _pause(self) -> None:
        """Wait until the directories had changes and are quiet, at most until files are polled again."""
        if self._notices is None:
            await asyncio.sleep(POLL_S)
            self._look_for_directories = True
        elif await self._notices.wait(POLL_S):
            self._look_for_directories = True
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_WAIT_S):
                    while self._notices.clear():  # noqa: ASYNC110 (a time without notices is what is waited for)
                        await asyncio.sleep(QUIET_S)

    def _watch_directories(self) -> None:
        """Watch the directories that the files are in now; files are looked at after it."""
        directories = _directories(self._seen)
        self._look_for_directories = False
        if self._notices is not None and directories == self._watched:
            return
        self._close_notices()
        self._watched = directories
        with suppress(OSError):  # a directory is gone, or the kernel has no more watches: polling detects changes
            self._notices = DirectoryNotices(path for path, _, _ in directories)

    def _close_notices(self) -> None:
        notices, self._notices = self._notices, None
        if notices is not None:
            notices.close()


def _directories(paths: Iterable[Path]) -> Directories:
    """Return the directories of the paths and of their symlinks' targets."""
    directories = set()
    for path in tuple(paths):
        directories.add(path.parent)
        with suppress(OSError, RuntimeError):  # a loop of symlinks
            directories.add(path.resolve().parent)
    found = ((directory, _signature(directory)) for directory in directories if directory.is_dir())
    return frozenset((directory, status[0], status[1]) for directory, status in found if status is not None)


def signatures(paths: Iterable[Path]) -> dict[Path, Signature]:
    """Return the inode, size and time of each file, or None if it does not exist."""
    return {path: _signature(path) for path in paths}


def _signature(path: Path) -> Signature:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
