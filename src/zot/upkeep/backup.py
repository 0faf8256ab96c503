"""Backup and restore: everything that cannot be rebuilt, taken while serving.

    DIR/backup.json         what it is, and of which roots; written last: without it there is no backup
    DIR/catalog.db ...      databases, each as it was at one moment
    DIR/roots/<number>/     content of each root, laid out as there: <repository>/blobs/<algorithm>/<hex>

Content is immutable, so it is shared by hard links where backup and store are on one file system, and copied else. A
backup into a directory that has one already copies only what is new.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.oci.digest import Digest, algorithm_of, hex_of
from zot.oci.names import Repository
from zot.storage.disk import Disk
from zot.storage.faults import NO_LINK
from zot.storage.identity import make_directories
from zot.storage.interface import StorageError
from zot.storage.pools import Pool

VERSION = 1

# What is kept below a root beside layouts, and nowhere else: keys and certificates by which images are verified.
_KEPT = ("_cosign", "_notation")
_PIECE_BYTES = 1 << 20
_TOGETHER = 256
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up."""

    roots: Sequence[str]
    root_of: Callable[[Repository], str]
    databases: Sequence[str]
    """Those of the catalog's directory that are there, the catalog's own first."""
    snapshot: Callable[[Path, Path], None]
    """Copies a database as it is at one moment; it blocks."""
    open_catalog: Callable[[Path], Catalog]
    """Opens a copy of the catalog for reading."""


async def back_up(source: Source, catalog: Catalog, directory: str, pool: Pool) -> AsyncIterator[str]:
    """Copy everything into a directory, made if need be; tell what is done. Raises StorageError, CatalogError.

    Content that the running catalog names comes first, then the databases, then what came between: what the copied
    catalog has is there, or the copy is begun anew.
    """
    files = _Files(pool)
    await pool.run(_refuse_inside, directory, source.roots)
    await pool.run(files.prepare, directory)
    async for line in _copy_content(source, catalog, directory, files):
        yield line
    for _ in range(_ATTEMPTS):
        for database in source.databases:
            await pool.run(files.replace_by, source.snapshot, database, f"{directory}/{Path(database).name}")
        yield f"{len(source.databases)} databases copied"
        files.missing = 0
        snapshot = source.open_catalog(Path(directory, Path(source.databases[0]).name))
        try:
            async for line in _copy_content(source, snapshot, directory, files):
                yield line
        finally:
            await snapshot.close()
        if not files.missing:
            break
        yield f"{files.missing} blobs were removed meanwhile: the databases are copied again"
    else:
        raise StorageError("content keeps being removed while it is copied: nothing is backed up")
    for number, root in enumerate(source.roots):
        await pool.run(files.copy_kept, root, f"{directory}/roots/{number}")
    names = [Path(each).name for each in source.databases]
    await pool.run(files.finish, directory, source.roots, names)
    yield f"backed up to {directory}: {files.linked} new files shared, {files.copied} copied"


def _refuse_inside(directory: str, roots: Sequence[str]) -> None:
    """Raise StorageError if the directory lies in the store itself, among the repositories."""
    target = Path(directory).resolve()
    for root in roots:
        if target.is_relative_to(Path(root).resolve()):
            raise StorageError(f"{directory} lies within {root}, which is to be backed up: name another directory")


async def _copy_content(source: Source, catalog: Catalog, directory: str, files: _Files) -> AsyncIterator[str]:
    """Copy the blobs that a catalog has and the directory has not."""
    numbers = {root: number for number, root in enumerate(source.roots)}
    after, count = "", 0
    while names := await catalog.repositories(after, PAGE_LIMIT):
        for repository in names:
            root = source.root_of(repository)
            target = f"{directory}/roots/{numbers[root]}"
            last = ""
            while page := await catalog.blobs(repository, last, _TOGETHER):
                await files.pool.run(files.copy_blobs, root, target, repository, [digest for digest, _ in page])
                count += len(page)
                last = page[-1][0]
            yield f"{count} blobs, up to {repository}"
        after = names[-1]


def restore(
    directory: str, roots: Sequence[str], catalog_directory: str, make_exports_due: Callable[[Path], None]
) -> Iterator[str]:
    """Put a backup where nothing is yet; tell what is done. It blocks, and needs the roots' locks.

    `make_exports_due` has a catalog know that no layout is written: a backup has their content, and no `index.json`.
    Raises StorageError, before anything is changed if the places are not empty or the backup is none; CatalogError.
    """
    disk = Disk()
    try:
        manifest = json.loads(disk.read_file(f"{directory}/backup.json", 1 << 20))
        saved, databases = manifest["roots"], manifest["databases"]
        version = manifest["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{directory} is no finished backup: {error}") from error
    if version > VERSION:
        raise StorageError(f"{directory} was made by a newer zot (version {version}, this one knows up to {VERSION})")
    if len(saved) != len(roots):
        raise StorageError(f"the backup is of {len(saved)} roots, the configuration has {len(roots)}: {saved}")
    files = _Files(None)
    try:
        for place in (*roots, catalog_directory):
            files.require_empty(place)
        for number, root in enumerate(roots):
            files.copy_tree(f"{directory}/roots/{number}", root)
            yield f"{root}: {files.linked + files.copied} files"
        make_directories(disk, catalog_directory)
        for name in databases:
            files.copy(f"{directory}/{name}", f"{catalog_directory}/{name}", share=False)
        make_exports_due(Path(catalog_directory, databases[0]))
        disk.sync_directory(catalog_directory)
    except OSError as error:
        raise StorageError(f"cannot restore: {error}") from error
    yield f"{len(databases)} databases restored to {catalog_directory}"


class _Files:
    """Files shared or copied. Everything raises OSError."""

    def __init__(self, pool: Pool | None) -> None:
        self._disk = Disk()
        self._pool = pool
        self.linked = self.copied = self.missing = 0

    @property
    def pool(self) -> Pool:
        assert self._pool is not None
        return self._pool

    def prepare(self, directory: str) -> None:
        """Make the directory; what was a backup is none until it is finished again."""
        make_directories(self._disk, directory)
        with suppress(FileNotFoundError):
            self._disk.unlink(f"{directory}/backup.json")

    def finish(self, directory: str, roots: Sequence[str], databases: Sequence[str]) -> None:
        """Say that the backup is one."""
        manifest = {
            "version": VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "roots": list(roots),
            "databases": list(databases),
        }
        with self._disk.staged(f"{directory}/{uuid4().hex}") as file:
            self._disk.write(file, [json.dumps(manifest, indent=2).encode()], 0)
            self._disk.sync(file)
            self._disk.rename(file.path, f"{directory}/backup.json")
        self._disk.sync_directory(directory)

    def replace_by(self, make: Callable[[Path, Path], None], database: str, target: str) -> None:
        """Have a new file made and put it in the target's place."""
        staged = f"{target}.{uuid4().hex}"
        make(Path(database), Path(staged))
        self._disk.rename(staged, target)

    def copy_blobs(self, root: str, target: str, repository: Repository, digests: Sequence[Digest]) -> None:
        """Copy blobs that the target has not. Those that the root has not are counted as missing."""
        directories = set()
        for digest in digests:
            below = f"{repository}/blobs/{algorithm_of(digest)}"
            if below not in directories:
                make_directories(self._disk, f"{target}/{below}")
                directories.add(below)
            try:
                self.copy(f"{root}/{below}/{hex_of(digest)}", f"{target}/{below}/{hex_of(digest)}", share=True)
            except FileNotFoundError:
                self.missing += 1
        for below in directories:
            self._disk.sync_directory(f"{target}/{below}")

    def copy_kept(self, root: str, target: str) -> None:
        """Copy what is below a root beside layouts, and the identity of the store."""
        make_directories(self._disk, f"{target}/.zot")
        for name in _KEPT:
            with suppress(FileNotFoundError):
                self.copy_tree(f"{root}/{name}", f"{target}/{name}", share=False)
        with suppress(FileNotFoundError):
            self.copy(f"{root}/.zot/store.json", f"{target}/.zot/store.json", share=False)

    def require_empty(self, place: str) -> None:
        """Raise StorageError if something is there that a restore would mix with."""
        try:
            with self._disk.entries(place) as entries:
                found = [entry.name for entry in entries if entry.name not in {".zot", "lost+found", "lock"}]
            with suppress(FileNotFoundError), self._disk.entries(f"{place}/.zot") as entries:
                found += [f".zot/{entry.name}" for entry in entries if entry.name != "lock"]
        except FileNotFoundError:
            return
        if found:
            raise StorageError(f"{place} is not empty: it has {', '.join(sorted(found)[:5])}")

    def copy_tree(self, source: str, target: str, *, share: bool = True) -> None:
        """Copy a directory with all that is in it."""
        make_directories(self._disk, target)
        with self._disk.entries(source) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self.copy_tree(entry.path, f"{target}/{entry.name}", share=share)
                elif entry.is_file(follow_symlinks=False):
                    self.copy(entry.path, f"{target}/{entry.name}", share=share and ".zot" not in source)
        self._disk.sync_directory(target)

    def copy(self, source: str, target: str, *, share: bool) -> None:
        """Copy a file; with `share` it is immutable: it stays if it is there, and has its bytes in common if it can."""
        if share:
            with suppress(FileNotFoundError):
                self._disk.status(target)
                return
            try:
                self._disk.link(source, target)
            except OSError as error:
                if error.errno not in NO_LINK:
                    raise
            else:
                self.linked += 1
                return
        with self._disk.open(source) as original, self._disk.staged(f"{target}.{uuid4().hex}") as file:
            offset = 0
            while piece := self._disk.read(original, _PIECE_BYTES, offset):
                self._disk.write(file, [piece], offset)
                offset += len(piece)
            self._disk.sync(file)
            self._disk.rename(file.path, target)
        self.copied += 1
