"""The identity of a store, kept in its root, so that an unmounted disk is not taken for an empty store."""

from __future__ import annotations

import json
from contextlib import suppress
from threading import Lock
from uuid import uuid4

from zot.storage.disk import Disk
from zot.storage.interface import StorageUnavailableError
from zot.storage.os_errors import NO_LINK

_LIMIT_BYTES = 64 * 1024
_STAGED = "store.json."


class StoreIdentity:
    """The id in `<root>/.zot/store.json`. The first process creates it; it never changes."""

    def __init__(self, disk: Disk, root: str, expected: str | None) -> None:
        """Look at `root`. With `expected` it must be that store; otherwise it may be any, also a new one."""
        self._disk = disk
        self._root = root
        self._expected = expected
        self._seen: tuple[int, int, int] | None = None
        self._establishing = Lock()

    def establish(self) -> str:
        """Return the store's id; create the root and the id if both are missing and none is expected.

        Raises StorageUnavailableError if another id is expected, OSError.
        """
        # Else a thread that looked before another one made the identity would compare that with nothing.
        with self._establishing:
            found = self._read()
            if found is None and self._expected is None:
                found = self._make()
            return self._compare(found)

    def check(self) -> None:
        """Raise StorageUnavailableError if the root is not the expected store. Raises OSError."""
        try:
            seen = self._status()
        except FileNotFoundError:
            self._seen = None
        else:
            # The same file, unchanged: no disk was mounted over the root or unmounted, and the id is not lost.
            if seen == self._seen:
                return
        self.establish()
        self._seen = self._status()

    def _status(self) -> tuple[int, int, int]:
        status = self._disk.status(f"{self._root}/.zot/store.json")
        return status.st_dev, status.st_ino, status.st_mtime_ns

    def reread(self) -> None:
        """Check again even if the file is unchanged."""
        self._seen = None
        self.check()

    def _read(self) -> str | None:
        path = f"{self._root}/.zot/store.json"
        try:
            content = self._disk.read_file(path, _LIMIT_BYTES)
        except FileNotFoundError:
            return None
        try:
            return str(json.loads(content)["store"])
        except (ValueError, KeyError, TypeError) as error:
            raise StorageUnavailableError(f"{path} is damaged: {self._remedy()}") from error

    def _compare(self, found: str | None) -> str:
        if self._expected is None:
            # From now on the root must stay this store.
            self._expected = found
        if found is None:
            raise StorageUnavailableError(
                f"{self._root} is empty or not a store, but store {self._expected} is expected: is its disk mounted?"
                f" If it is the right one, {self._remedy()}"
            )
        if found != self._expected:
            raise StorageUnavailableError(f"{self._root} is store {found}, but store {self._expected} is expected")
        return found

    def _remedy(self) -> str:
        return f"write {json.dumps({'store': self._expected or str(uuid4())})} to {self._root}/.zot/store.json"

    def _make(self) -> str:
        directory = f"{self._root}/.zot"
        make_directories(self._disk, directory)
        with self._disk.staged(f"{directory}/{_STAGED}{uuid4().hex}") as file:
            self._disk.write(file, [json.dumps({"store": str(uuid4())}).encode()], 0)
            self._disk.sync(file)
            self._claim(file.path, f"{directory}/store.json")
        self._disk.sync_directory(directory)
        made = self._read()
        assert made is not None
        return made

    def _claim(self, staged: str, path: str) -> None:
        """Place the staged file unless `path` exists: of several processes that start together one wins."""
        try:
            self._disk.link(staged, path)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            self._disk.rename(staged, path)
            return
        self._disk.unlink(staged)


def remove_unfinished(disk: Disk, root: str) -> None:
    """Remove staged identities that an interrupted start left. Call it under the root's lock."""
    with disk.entries(f"{root}/.zot") as entries:
        left = [entry.path for entry in entries if entry.name.startswith(_STAGED)]
    for path in left:
        disk.unlink(path)


def make_directories(disk: Disk, path: str) -> None:
    """Create a directory and its missing parents, and sync their names. Idempotent."""
    parent = path.rpartition("/")[0] or "/"
    try:
        disk.mkdir(path)
    except FileNotFoundError:
        make_directories(disk, parent)
        with suppress(FileExistsError):
            disk.mkdir(path)
    except FileExistsError:
        pass
    disk.sync_directory(parent)
