"""The directories of repositories: created and synced once. Concurrent syncs of a directory are merged."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from threading import Lock

from zot.oci.names import Repository
from zot.storage.disk import Disk
from zot.storage.identity import StoreIdentity
from zot.storage.layout_paths import LayoutPaths
from zot.storage.synced_directories import SyncedDirectories

_ATTEMPTS = 10


class Directories:
    """Creates directories below one root. Without `durable` nothing is synced."""

    def __init__(
        self,
        disk: Disk,
        paths: LayoutPaths,
        identity: StoreIdentity,
        synced: SyncedDirectories | None = None,
        *,
        durable: bool,
    ) -> None:
        """Create directories only while `identity` confirms that the root is the expected store.

        `synced` is shared with the processes that use the same root, and with what removes directories.
        """
        self._disk = disk
        self._paths = paths
        self._identity = identity
        self._durable = durable
        self._synced = synced or SyncedDirectories()
        self._lock = Lock()
        self._syncs: dict[str, _Syncs] = {}

    def for_uploads(self, repository: Repository) -> None:
        """Create the directory of staged files. Not durable.

        Raises StorageUnavailableError if the root is not the expected store.
        """
        self._identity.check()
        uploads = self._paths.uploads(repository)
        if not self._exists(uploads):
            self._make(uploads)

    def for_content(self, repository: Repository, algorithm: str) -> None:
        """Create the directories of content. Durable. What makes them a layout is written by the export."""
        blobs = self._paths.blobs(repository, algorithm)
        # In this order: see `SyncedDirectories`.
        if self._exists(blobs) and blobs in self._synced:
            return
        removals = self._synced.removals(blobs)
        self.for_uploads(repository)
        made = self._make(blobs)
        # Also of those that existed: another process may have created them a moment ago.
        for path in made:
            self.sync(path.rpartition("/")[0])
        self._synced.add(blobs, removals)

    def sync(self, path: str) -> None:
        """Sync a directory. One sync serves all callers that waited for it; all of them get its error."""
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

    def _exists(self, path: str) -> bool:
        try:
            # Collection removes the directories of empty repositories.
            self._disk.status(path)
        except FileNotFoundError:
            return False
        return True

    def _make(self, path: str) -> list[str]:
        """Create a directory and those above it up to the root; return all of them, the topmost first."""
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
                # Collection removed an empty parent between the two calls.
                if not attempt:
                    raise
            else:
                break
        return paths


class _Syncs:
    """The syncs of one directory: while one runs, all new callers wait for the next one together."""

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
                self._next = None  # this sync does not cover later callers
            try:
                disk.sync_directory(path)
            except BaseException as error:
                leading.set_exception(error)
                raise
            leading.set_result(None)
