"""The directories of repositories: made once, synced once; and the sync of a directory for all who wait for it."""

from __future__ import annotations

import json
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock

from zot.foundation.bounded_map import BoundedMap
from zot.oci.names import Repository
from zot.storage.disk import Disk
from zot.storage.identity import StoreIdentity
from zot.storage.layout_paths import LayoutPaths

_OCI_LAYOUT = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
_REMEMBERED = 10_000
_ATTEMPTS = 10


class Directories:
    """Makes directories below one root. With `durable` off nothing is synced."""

    def __init__(self, disk: Disk, paths: LayoutPaths, identity: StoreIdentity, *, durable: bool) -> None:
        """Make nothing unless `identity` says that the root is the right store."""
        self._disk = disk
        self._paths = paths
        self._identity = identity
        self._durable = durable
        self._ready: BoundedMap[str, bool] = BoundedMap(_REMEMBERED)
        self._lock = Lock()
        self._syncs: dict[str, _Syncs] = {}

    def for_uploads(self, repository: Repository) -> None:
        """Make the directory of staged files; a power loss may take it, and them, away.

        Raises StorageUnavailableError if the root is not the store that it should be.
        """
        self._identity.check()
        uploads = self._paths.uploads(repository)
        if self._is_ready(uploads):
            return
        self._make(uploads)
        self._remember(uploads)

    def for_content(self, repository: Repository, algorithm: str) -> None:
        """Make the directories of content, and the file that makes the repository an image layout. They survive."""
        blobs = self._paths.blobs(repository, algorithm)
        if self._is_ready(blobs):
            return
        self.for_uploads(repository)
        made = self._make(blobs)
        self._make_layout(repository)
        # Also of those that were there: another process may have made them a moment ago.
        for path in made:
            self.sync(path.rpartition("/")[0])
        self._remember(blobs)

    def sync(self, path: str) -> None:
        """Sync a directory; one sync serves all that began to wait before it began. An error is everybody's."""
        if not self._durable:
            return
        with self._lock:
            syncs = self._syncs.setdefault(path, _Syncs())
            syncs.users += 1
        try:
            syncs.join(self._disk, path)
        finally:
            with self._lock:
                syncs.users -= 1
                if not syncs.users:
                    self._syncs.pop(path, None)

    def _is_ready(self, path: str) -> bool:
        with self._lock:
            if not self._ready.use(path):
                return False
        try:
            # Upkeep removes the directories of empty repositories.
            self._disk.status(path)
        except FileNotFoundError:
            return False
        return True

    def _remember(self, path: str) -> None:
        with self._lock:
            self._ready[path] = True

    def _make(self, path: str) -> list[str]:
        """Make a directory and those above it up to the root; return all of them, the topmost first."""
        root = self._paths.root
        paths = [path]
        while (parent := paths[-1].rpartition("/")[0]) != root:
            paths.append(parent)
        paths.reverse()
        for attempt in reversed(range(_ATTEMPTS)):
            try:
                for each in paths:
                    with suppress(FileExistsError):
                        self._disk.mkdir(each)
            except FileNotFoundError:
                # Upkeep removed a parent that was empty, between the two calls.
                if not attempt:
                    raise
            else:
                break
        return paths

    def _make_layout(self, repository: Repository) -> None:
        path = self._paths.oci_layout(repository)
        with suppress(FileNotFoundError):
            self._disk.status(path)
            return
        with self._disk.staged(self._paths.temporary(repository)) as file:
            self._disk.write(file, [_OCI_LAYOUT], 0)
            if self._durable:
                self._disk.sync(file)
            self._disk.rename(file.path, path)


class _Syncs:
    """The syncs of one directory: one runs, and all who come meanwhile wait for the next."""

    def __init__(self) -> None:
        self.users = 0
        self._running = Lock()
        self._lock = Lock()
        self._next: Future[None] | None = None

    def join(self, disk: Disk, path: str) -> None:
        with self._lock:
            mine = self._next
            if mine is None:
                leading = self._next = Future()
        if mine is not None:
            mine.result()
            return
        with self._running:
            with self._lock:
                self._next = None  # who comes from here on is not covered by this sync
            try:
                disk.sync_directory(path)
            except BaseException as error:
                leading.set_exception(error)
                raise
            leading.set_result(None)
