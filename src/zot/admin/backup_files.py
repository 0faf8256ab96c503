"""The files of a backup directory: their layout, and copying them into it and out of it.

    DIR/backup.json                       the last good backup; replaced in one step when the next one is complete
    DIR/store.json                        the identity of the store that DIR is for; written first
    DIR/content/STORE/REPOSITORY/blobs/   content of each root, shared by one backup and the next
    DIR/snapshot-ID/catalog.db ...        consistent snapshots of the databases
    DIR/snapshot-ID/STORE/                files that may change: keys and certificates, layouts that are not imported

STORE is the identity of a root (`.zot/store.json`), so that content of two roots is never mixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from zot.admin.file_copier import FileCopier
from zot.oci.digest import Digest, algorithm_of, hex_of
from zot.oci.names import Repository
from zot.storage.disk import Disk
from zot.storage.identity import make_directories
from zot.storage.interface import StorageError
from zot.storage.os_errors import storage_errors

VERSION = 2
MANIFEST = "backup.json"
SNAPSHOT = "snapshot-"

_STORE = "store.json"
_LOCK = "lock"
_LIMIT_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20
# Files that do not count when a directory must be empty.
_IGNORED = frozenset({_LOCK, "lost+found"})


class SavedRoot(msgspec.Struct, frozen=True):
    """A root of the backed-up store."""

    path: str
    store: str
    """The root's identity, which names its directories in the backup."""


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of a finished backup."""

    version: int
    created: str
    roots: list[SavedRoot]
    """In the order of the configuration: the main root first."""
    snapshot: str
    """The directory of its databases."""
    databases: list[str]


class _Version(msgspec.Struct, frozen=True):
    version: int


class _Owner(msgspec.Struct, frozen=True):
    store: str
    path: str


class BackupDirectory:
    """A directory for backups of one store. Every method blocks, and raises OSError unless it says otherwise."""

    def __init__(self, path: str) -> None:
        """Name the directory, without opening or creating it."""
        self.path = path
        self.files = FileCopier()
        self.missing: list[tuple[Repository, Digest]] = []
        """Blobs that are missing from the store, or have another size there."""
        self.staged = f"{SNAPSHOT}{uuid4().hex}"
        """The directory of the new backup."""
        self._disk = Disk()

    @contextmanager
    def locked(self, main: SavedRoot) -> Iterator[None]:
        """Prepare the directory for a backup of a store, and lock it during the block.

        Raises StorageError if it is locked, has a backup of another store, or has other files.
        """
        make_directories(self._disk, self.path)
        with self._disk.create(f"{self.path}/{_LOCK}") as lock:
            if not self._disk.lock(lock):
                raise StorageError(f"another backup to {self.path} is running: wait until it has ended")
            self._require_owner(main)
            self.files.staging = f"{self.path}/{self.staged}"
            make_directories(self._disk, self.files.staging)
            try:
                yield
            finally:
                self.files.staging = None
                self._remove_other_snapshots()

    def manifest(self) -> BackupManifest:
        """Return the last good backup. Raises StorageError if there is none that this version can read."""
        path = f"{self.path}/{MANIFEST}"
        try:
            content = self._disk.read_file(path, _LIMIT_BYTES)
        except FileNotFoundError as error:
            raise StorageError(f"{self.path} is not a finished backup: it has no {MANIFEST}") from error
        try:
            version = msgspec.json.decode(content, type=_Version).version
            if version == VERSION:
                return msgspec.json.decode(content, type=BackupManifest)
        except msgspec.MsgspecError as error:
            raise StorageError(f"{path} is damaged: {error}") from error
        raise StorageError(f"{self.path} was made by another zot (version {version}; this one reads {VERSION})")

    def finish(self, roots: Sequence[SavedRoot], databases: Sequence[str]) -> None:
        """Make the staged backup the last good one, atomically. Durable."""
        manifest = BackupManifest(
            version=VERSION,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            roots=list(roots),
            snapshot=self.staged,
            databases=list(databases),
        )
        self._disk.sync_directory(f"{self.path}/{self.staged}")
        self._replace(MANIFEST, manifest)

    def content(self, root: SavedRoot) -> str:
        """Return the directory of a root's blobs."""
        return f"{self.path}/content/{root.store}"

    def changing(self, root: SavedRoot, snapshot: str | None = None) -> str:
        """Return the directory of a root's changing files in a snapshot, by default the staged one."""
        return f"{self.path}/{snapshot or self.staged}/{root.store}"

    def copy_blobs(self, root: SavedRoot, repository: Repository, blobs: Sequence[tuple[Digest, int]]) -> None:
        """Copy blobs, given with their sizes, that the directory lacks; add those that the store lacks to `missing`."""
        directories = set()
        for digest, size in blobs:
            below = f"{repository}/blobs/{algorithm_of(digest)}"
            target = f"{self.content(root)}/{below}"
            if below not in directories:
                make_directories(self._disk, target)
                directories.add(below)
            source = f"{root.path}/{below}/{hex_of(digest)}"
            try:
                if self.files.size(f"{target}/{hex_of(digest)}") == size:
                    continue
                if self.files.size(source) == size:
                    self.files.copy(source, f"{target}/{hex_of(digest)}", share=True)
                    continue
            except FileNotFoundError:
                pass
            self.missing.append((repository, digest))
        for below in directories:
            self._disk.sync_directory(f"{self.content(root)}/{below}")

    def copy_unknown(self, root: SavedRoot, repository: Repository) -> None:
        """Copy the files among a repository's blobs that are not copied yet.

        The catalog does not know them: files of manifests that cannot be read, and their blobs.
        """
        source, target = f"{root.path}/{repository}/blobs", f"{self.content(root)}/{repository}/blobs"
        for algorithm in self.files.names(source, directories=True):
            unknown = self.files.names(f"{source}/{algorithm}") - self.files.names(f"{target}/{algorithm}")
            if not unknown:
                continue
            make_directories(self._disk, f"{target}/{algorithm}")
            for name in unknown:
                with suppress(FileNotFoundError):  # garbage that was collected
                    self.files.copy(f"{source}/{algorithm}/{name}", f"{target}/{algorithm}/{name}", share=True)
            self._disk.sync_directory(f"{target}/{algorithm}")

    def copy_layout(self, root: SavedRoot, repository: Repository) -> None:
        """Copy the layout of a repository as it is."""
        source = f"{root.path}/{repository}"
        with suppress(FileNotFoundError):
            self.files.copy_tree(f"{source}/blobs", f"{self.content(root)}/{repository}/blobs", share=True)
        for name in ("oci-layout", "index.json"):
            with suppress(FileNotFoundError):
                make_directories(self._disk, f"{self.changing(root)}/{repository}")
                self.files.copy(f"{source}/{name}", f"{self.changing(root)}/{repository}/{name}", share=False)

    def copy_kept(self, root: SavedRoot, names: Sequence[str]) -> None:
        """Copy existing directories below a root that are not layouts."""
        target = self.changing(root)
        make_directories(self._disk, f"{target}/.zot")
        for name in names:
            with suppress(FileNotFoundError):
                self.files.copy_tree(f"{root.path}/{name}", f"{target}/{name}", share=False)
        self.files.copy(f"{root.path}/.zot/{_STORE}", f"{target}/.zot/{_STORE}", share=False)

    def require_empty(self, place: str) -> None:
        """Raise StorageError if a directory has files that a restore would mix with."""
        try:
            with self._disk.entries(place) as entries:
                found = [entry.name for entry in entries if entry.name not in {".zot", *_IGNORED}]
            with suppress(FileNotFoundError), self._disk.entries(f"{place}/.zot") as entries:
                found += [f".zot/{entry.name}" for entry in entries if entry.name != _LOCK]
        except FileNotFoundError:
            return
        if found:
            raise StorageError(f"{place} is not empty, it has {', '.join(sorted(found)[:5])}: move that away first")

    def _require_owner(self, main: SavedRoot) -> None:
        try:
            content = self._disk.read_file(f"{self.path}/{_STORE}", _LIMIT_BYTES)
        except FileNotFoundError:
            with self._disk.entries(self.path) as entries:
                found = sorted(entry.name for entry in entries if entry.name not in _IGNORED)
            if found:
                raise StorageError(
                    f"{self.path} is not empty and has no backup of this zot, it has {', '.join(found[:5])}: "
                    "name another directory"
                ) from None
            self._replace(_STORE, _Owner(main.store, main.path))
            return
        try:
            owner = msgspec.json.decode(content, type=_Owner)
        except msgspec.MsgspecError as error:
            raise StorageError(f"{self.path}/{_STORE} is damaged: {error}") from error
        if owner.store != main.store:
            raise StorageError(
                f"{self.path} has the backup of store {owner.store} ({owner.path}), and {main.path} is store "
                f"{main.store}: name another directory"
            )

    def _remove_other_snapshots(self) -> None:
        """Remove the snapshots that `backup.json` does not name: earlier and interrupted ones."""
        try:
            kept = self.manifest().snapshot
        except StorageError:
            kept = ""
        with self._disk.entries(self.path) as entries:
            found = [entry.path for entry in entries if entry.name.startswith(SNAPSHOT) and entry.name != kept]
        for path in found:
            self._remove_tree(path)

    def _remove_tree(self, path: str) -> None:
        with self._disk.entries(path) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    self._remove_tree(entry.path)
                else:
                    self._disk.unlink(entry.path)
        self._disk.rmdir(path)

    def _replace(self, name: str, value: msgspec.Struct) -> None:
        with self._disk.staged(f"{self.path}/{name}.{uuid4().hex}") as file:
            self._disk.write(file, [msgspec.json.format(msgspec.json.encode(value))], 0)
            self._disk.sync(file)
            self._disk.rename(file.path, f"{self.path}/{name}")
        self._disk.sync_directory(self.path)


def saved_roots(roots: Sequence[str]) -> list[SavedRoot]:
    """Return roots with their current identities. Raises StorageError if one is not a store."""
    disk, found = Disk(), []
    for root in roots:
        path = f"{root}/.zot/{_STORE}"
        try:
            with storage_errors(f"read the identity of {root}"):
                store = msgspec.json.decode(disk.read_file(path, _LIMIT_BYTES), type=dict[str, str])["store"]
        except (msgspec.MsgspecError, KeyError) as error:
            raise StorageError(f"{path} is damaged: it should be an object with the key 'store'") from error
        found.append(SavedRoot(root, store))
    return found
