"""Back up everything that cannot be rebuilt, while the server serves.

Content is immutable, so it is shared by hard links where backup and store are on one file system, and copied otherwise.
A backup to a directory that has one copies what is new. The directory's layout: `zot.admin.backup_files`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zot.admin.backup_files import BackupDirectory, SavedRoot, saved_roots
from zot.admin.requests import Noted, OperationProgress
from zot.catalog import paging
from zot.catalog.interface import Catalog
from zot.foundation.threads import ThreadPool
from zot.maintenance import usage
from zot.maintenance.imports import Imports
from zot.oci.names import Repository
from zot.storage.interface import StorageError
from zot.storage.os_errors import storage_errors

BackupOutput = str | OperationProgress | Noted

# Directories of a root beside layouts: keys and certificates by which images are verified.
_KEPT = ("_cosign", "_notation")
_TOGETHER = 256
_ATTEMPTS = 3
_SAID_EVERY = 100


@dataclass(frozen=True, slots=True)
class BackupSource:
    """The store that is backed up."""

    roots: Sequence[str]
    root_of: Callable[[Repository], str]
    stores: dict[str, str]
    """The expected identity of each root."""
    state: str
    """The directory of the databases."""
    save: Callable[[Path], Sequence[str]]
    """Copies a consistent snapshot of each database into a directory and returns their names. Blocks."""
    open_saved: Callable[[Path], Catalog]
    """Opens the copied catalog of a directory for reading."""
    imports: Imports


async def back_up(source: BackupSource, catalog: Catalog, path: str, pool: ThreadPool) -> AsyncIterator[BackupOutput]:
    """Back up a store into a directory; yield progress, notes, and finally the result.

    The directory is created if it is missing. Until the backup is complete, the last good one in the directory stays as
    it is. Layouts that are not imported are imported first; those that cannot be are copied as they are. Then it copies
    the blobs of the running catalog, the databases, and the blobs that were pushed in between; if the copied catalog
    has a blob that is missing, the databases are copied again. Files of a layout that the catalog does not know are
    copied, too. Raises StorageError, CatalogError.
    """
    await pool.run(_refuse_inside, path, (*source.roots, source.state))
    roots = await pool.run(_identified, source)
    directory = BackupDirectory(path)
    locked = directory.locked(roots[0])
    with storage_errors(f"back up to {path}"):
        await pool.run(locked.__enter__)
        try:
            async for line in _fill(source, catalog, directory, roots, pool):
                yield line
        finally:
            await pool.run(locked.__exit__, None, None, None)
    yield f"backed up to {path}: {directory.files.linked} new files shared, {directory.files.copied} copied"


async def _fill(
    source: BackupSource, catalog: Catalog, directory: BackupDirectory, roots: Sequence[SavedRoot], pool: ThreadPool
) -> AsyncIterator[BackupOutput]:
    by_path = {root.path: root for root in roots}

    def root_of(repository: Repository) -> SavedRoot:
        return by_path[source.root_of(repository)]

    refused: dict[Repository, str] = {}
    async for line in _import(source.imports, refused):
        yield line
    async for line in _copy_content(catalog, directory, root_of, pool):
        yield line
    for _ in range(_ATTEMPTS):
        staged = Path(directory.path, directory.staged)
        databases = await pool.run(source.save, staged)
        yield OperationProgress(f"{len(databases)} databases copied")
        directory.missing.clear()
        copied = source.open_saved(staged)
        try:
            async for line in _copy_content(copied, directory, root_of, pool):
                yield line
        finally:
            await copied.close()
        if not directory.missing:
            break
        yield OperationProgress(f"{len(directory.missing)} blobs are not in the store: the databases are copied again")
    else:
        repository, digest = directory.missing[0]
        raise StorageError(
            f"{len(directory.missing)} blobs that the catalog has are missing from the store, or have another size, "
            f"the first is {repository}@{digest}; nothing is backed up: find them with `zot scrub`, and push them again"
        )
    async for repository in paging.repositories(catalog):
        await pool.run(directory.copy_unknown, root_of(repository), repository)
    for repository in refused:
        await pool.run(directory.copy_layout, root_of(repository), repository)
    for root in roots:
        await pool.run(directory.copy_kept, root, _KEPT)
    if await pool.run(_identified, source) != roots:
        raise StorageError("the store was replaced while it was copied: nothing is backed up")
    await pool.run(directory.finish, roots, databases)
    for repository, why in refused.items():
        yield Noted(f"{repository} is not imported ({why}): its files are copied as they are")


async def _import(imports: Imports, refused: dict[Repository, str]) -> AsyncIterator[OperationProgress]:
    """Import the remaining layouts, with progress; add those that cannot be imported to `refused`, with the reason."""
    pending = await imports.pending()
    for number, repository in enumerate(pending):
        if number % _SAID_EVERY == 0:
            yield OperationProgress(f"importing layouts: {number} of {len(pending)}")
        why = await imports.run(repository)
        if why:
            refused[repository] = why


def _identified(source: BackupSource) -> list[SavedRoot]:
    """Return the roots with their identities. Raises StorageError if one is not the expected store."""
    roots = saved_roots(source.roots)
    for root in roots:
        expected = source.stores.get(root.path, root.store)
        if root.store != expected:
            raise StorageError(f"{root.path} is store {root.store}, but store {expected} is expected")
    return roots


def _refuse_inside(directory: str, places: Sequence[str]) -> None:
    """Raise StorageError if the directory is inside the store."""
    target = Path(directory).resolve()
    for place in places:
        if target.is_relative_to(Path(place).resolve()):
            raise StorageError(f"{directory} is inside {place}, which is to be backed up: name another directory")


async def _copy_content(
    catalog: Catalog, directory: BackupDirectory, root_of: Callable[[Repository], SavedRoot], pool: ThreadPool
) -> AsyncIterator[OperationProgress]:
    """Copy the blobs of a catalog that the directory lacks; yield progress. What it holds is copied with it."""
    total, count = sum([row.blobs async for row in usage.repositories(catalog, None)]), 0
    async for repository in paging.repositories(catalog):
        held = {digest async for digest, _ in paging.held_blobs(catalog, repository)}
        async for page in paging.blob_pages(catalog, repository, _TOGETHER):
            files = [(digest, size) for digest, size in page if digest not in held]
            await pool.run(directory.copy_blobs, root_of(repository), repository, files)
            count += len(page)
        yield OperationProgress(f"{count} of {total} blobs, up to {repository}")
