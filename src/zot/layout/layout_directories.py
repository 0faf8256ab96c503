"""Find the layouts below one root: blocking steps, each for a pool's thread. They raise OSError."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from zot.oci.names import LAYOUT_NAMES, InvalidNameError, Repository, parse_repository
from zot.registry.unimported import Unserved
from zot.storage.disk import Disk, File
from zot.storage.layout_paths import LayoutPaths

_log = logging.getLogger(__name__)

_WARNED_PATHS = 1024
# Prefixes of directories that programs create for themselves.
_OF_PROGRAMS = (".", "_")
_GONE = (FileNotFoundError, NotADirectoryError)


class SharedDirectoryError(OSError):
    """A symbolic link makes the repository's directory one that has another name in the store."""


class LayoutDirectories:
    """The directories below one root: which of them are layouts, and which of those are repositories."""

    def __init__(self, disk: Disk, root: str) -> None:
        """Look below `root`."""
        self._disk = disk
        self._paths = LayoutPaths(root)

    def walk(self) -> Iterator[Repository | Unserved | None]:
        """Iterate over all directories that may be layouts, in order: the name of a layout, or else None.

        A layout is reported as Unserved if no repository can have its name, or if it lies where another layout has its
        content.

        A symbolic link to a directory is followed, since an operator may have moved a part of the store to another
        disk, unless the directory has another name below the root: two names would be two repositories with the same
        files.
        """
        try:
            followed = [self._disk.real_path(self._paths.root)]
        except _GONE:
            return
        waiting = [""]
        while waiting:
            name = waiting.pop()
            try:
                files, directories = self._list(name, followed)
            except _GONE:
                continue
            except PermissionError as error:
                _log.warning("%s cannot be read: layouts in it are not served", error.filename)
                continue
            is_layout = bool(name) and {"index.json", "oci-layout"} <= files
            for each in sorted(directories, reverse=True):
                path = f"{name}/{each}" if name else each
                why = f"it lies within the layout {name}" if is_layout and each in LAYOUT_NAMES else ""
                try:
                    repository = parse_repository(path)
                except InvalidNameError as error:  # nothing below it can have a repository's name
                    why = "" if each.startswith(_OF_PROGRAMS) else str(error)
                else:
                    if not why:
                        waiting.append(repository)
                if why and self._has_layout(path):
                    yield Unserved(f"{self._paths.root}/{path}", why)
            yield Repository(name) if is_layout else None

    def _has_layout(self, path: str) -> bool:
        """Return whether a directory, by its path below the root, has the files of a layout."""
        try:
            for name in ("oci-layout", "index.json"):
                self._disk.file_status(f"{self._paths.root}/{path}/{name}")
        except OSError:
            return False
        return True

    def obstacle(self, repository: Repository) -> str | None:
        """Return what occupies the path of a file of a new layout of that name, or None."""
        directory = self._paths.repository(repository)
        for name in ("index.json", "oci-layout"):
            with suppress(*_GONE):
                if stat.S_ISDIR(self._disk.status(f"{directory}/{name}").st_mode):
                    return f"{directory}/{name} is a directory"
        paths = [f"{repository}/blobs"]
        with suppress(*_GONE), self._disk.entries(f"{directory}/blobs") as entries:
            paths += [f"{repository}/blobs/{entry.name}" for entry in entries if entry.is_dir()]
        found = next((path for path in paths if self._has_layout(path)), None)
        return f"{found} is a repository" if found is not None else None

    def _lies_within_layout(self, repository: Repository) -> bool:
        """Return whether another layout has its content where this one would be."""
        components = repository.split("/")
        return any(
            component in LAYOUT_NAMES and self._has_layout("/".join(components[:number]))
            for number, component in enumerate(components[1:], 1)
        )

    def _list(self, name: str, followed: list[str]) -> tuple[set[str], list[str]]:
        """Return the names of files and of directories; add the targets of followed links to `followed`."""
        files: set[str] = set()
        directories: list[str] = []
        links: list[str] = []
        with self._disk.entries(f"{self._paths.root}/{name}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                elif _links_to_directory(entry):
                    links.append(entry.name)
                else:
                    files.add(entry.name)
        for each in sorted(links):
            path = f"{self._paths.root}/{name}/{each}" if name else f"{self._paths.root}/{each}"
            try:
                target = self._disk.real_path(path)
            except _GONE:
                continue
            if any(_overlap(target, other) for other in followed):
                _warn_second_name(path, target)
            else:
                followed.append(target)
                directories.append(each)
        return files, directories

    def require_own_directory(self, repository: Repository) -> None:
        """Raise SharedDirectoryError if a symbolic link makes the directory that of another repository."""
        if not self._is_behind_link(repository):
            return
        path = self._paths.repository(repository)
        try:
            target = self._disk.real_path(path)
        except _GONE:
            return
        root = self._disk.real_path(self._paths.root)
        if _overlap(target, root) and target != f"{root}/{repository}":
            raise SharedDirectoryError(
                errno.ELOOP, f"a symbolic link leads to {target}, which has its own name in the store", path
            )

    def is_removed(self, repository: Repository) -> bool:
        """Return whether neither a directory of that name nor a symbolic link on its path exists."""
        return self._is_behind_link(repository) is None

    def _is_behind_link(self, repository: Repository) -> bool | None:
        """Return whether a part of the path below the root is a symbolic link; None: a part before it is missing."""
        path = self._paths.root
        for component in repository.split("/"):
            path = f"{path}/{component}"
            try:
                mode = self._disk.link_status(path).st_mode
            except _GONE:
                return None
            if stat.S_ISLNK(mode):
                return True
        return False

    def is_layout(self, repository: Repository) -> bool:
        """Return whether there is a layout of that name."""
        try:
            self.require_own_directory(repository)
            self._disk.status(self._paths.oci_layout(repository))
            self._disk.status(self._paths.index_json(repository))
        except (SharedDirectoryError, *_GONE):
            return False
        return not self._lies_within_layout(repository)

    def lock(self, repository: Repository) -> File | bool:
        """Lock the directory and return it; False if another file holds the lock, True if it is missing."""
        try:
            directory = self._disk.open_directory(self._paths.repository(repository))
        except _GONE:
            return True
        try:
            locked = self._disk.lock(directory)
        except BaseException:
            directory.close()
            raise
        if not locked:
            directory.close()
        return directory if locked else False


def _links_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a link to itself, or into a directory that cannot be read
        return False


def _overlap(one: str, other: str) -> bool:
    """Return whether one of two real paths is the other, or below it."""
    one, other = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return one.startswith(other) or other.startswith(one)


@lru_cache(maxsize=_WARNED_PATHS)  # once a path
def _warn_second_name(path: str, target: str) -> None:
    _log.warning("%s is a symbolic link to %s, which is served by another name: it is not followed", path, target)
