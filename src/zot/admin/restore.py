"""Restore a backup to empty roots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from zot.admin.backup_files import BackupDirectory, BackupManifest
from zot.storage.disk import Disk
from zot.storage.identity import make_directories
from zot.storage.interface import StorageError
from zot.storage.os_errors import storage_errors


def restore(
    directory: str, roots: Sequence[str], catalog_directory: str, mark_restored: Callable[[], None]
) -> Iterator[str]:
    """Copy a backup into empty roots and yield progress. Blocks; the caller holds the roots' locks.

    `mark_restored` records that no layout is in sync with the catalog, since a backup has no `index.json`. Raises
    StorageError, before any change if the directories are not empty or the backup is not finished; CatalogError.
    """
    backup = BackupDirectory(directory)
    with storage_errors(f"restore {directory}"):
        manifest = backup.manifest()
        _check(directory, manifest, roots)
        for place in (*roots, catalog_directory):
            backup.require_empty(place)
        before = 0
        for saved, root in zip(manifest.roots, roots, strict=True):
            with suppress(FileNotFoundError):  # a root without content
                backup.files.copy_tree(backup.content(saved), root, share=True)
            backup.files.copy_tree(backup.changing(saved, manifest.snapshot), root, share=False)
            done = backup.files.linked + backup.files.copied
            yield f"{root}: {done - before} files"
            before = done
        make_directories(Disk(), catalog_directory)
        for name in manifest.databases:
            backup.files.copy(f"{directory}/{manifest.snapshot}/{name}", f"{catalog_directory}/{name}", share=False)
        mark_restored()
        Disk().sync_directory(catalog_directory)
    yield f"{len(manifest.databases)} databases restored to {catalog_directory}"


def _check(directory: str, manifest: BackupManifest, roots: Sequence[str]) -> None:
    """Raise StorageError if the backup is incomplete, or has another number of roots."""
    if len(manifest.roots) != len(roots):
        paths = ", ".join(root.path for root in manifest.roots)
        raise StorageError(
            f"the backup is of {len(manifest.roots)} roots ({paths}), the configuration has {len(roots)}"
        )
    for name in manifest.databases:
        if not Path(directory, manifest.snapshot, name).is_file():
            raise StorageError(f"the backup is damaged: {directory}/{manifest.snapshot}/{name} is missing")
