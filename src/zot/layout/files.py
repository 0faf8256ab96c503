"""The files of layouts below one root: blocking steps, each for a pool's thread. They raise OSError."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache

from zot.catalog.rows import Unread
from zot.layout import index_json
from zot.layout.index_json import IndexHead, IndexReader, InvalidLayoutError
from zot.layout.interface import INDEX_LIMIT_BYTES, ContentFile, FileSignature, IndexFile, IndexVersion, StagedIndex
from zot.oci.digest import HEX_LENGTHS, Digest, digest_of, has_digest, hasher, hex_of
from zot.oci.names import LAYOUT_NAMES, InvalidNameError, Repository, parse_repository
from zot.registry.unimported import Unserved
from zot.storage.disk import Disk, File, NotRegularFileError
from zot.storage.identity import make_directories
from zot.storage.layout_paths import LayoutPaths
from zot.storage.os_errors import NO_LINK

_log = logging.getLogger(__name__)

_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_WARNED_PATHS = 1024
# Names of directories that programs make for themselves.
_OF_PROGRAMS = (".", "_")
# Pieces of some hundred descriptors.
_SCAN_BYTES = 64 * 1024
# Contents held at once, beside the one that goes beyond it.
_CONTENTS_BYTES = 4 * 1024 * 1024
_GONE = (FileNotFoundError, NotADirectoryError)


class HardLinkedFileError(OSError):
    """A repository's directory is, by a symbolic link, one that another name of the store leads to."""


class RootFiles:
    """Operations on `index.json`, and on what else makes a directory an image layout."""

    def __init__(self, disk: Disk, root: str) -> None:
        """Look below `root`."""
        self._disk = disk
        self._paths = LayoutPaths(root)

    # --- which layouts there are ---

    def walk(self) -> Iterator[Repository | Unserved | None]:
        """Iterate over all directories that may be a layout, in order: the name of each that is one, else None.

        Of a layout whose name no repository can have, or that lies where another layout has its content, comes why it
        is not served.

        A symbolic link to a directory is followed, as where an operator moved a part of the store to another disk,
        but never to a directory that has another name here: two names would be two repositories with the same files.
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
        """Tell whether a directory, by its path below the root, has the files of a layout."""
        try:
            for name in ("oci-layout", "index.json"):
                self._disk.file_status(f"{self._paths.root}/{path}/{name}")
        except OSError:
            return False
        return True

    def obstacle(self, repository: Repository) -> str | None:
        """Return what lies where a new layout of that name would have its files, None if nothing does."""
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
        """Tell whether another layout has its content where this one would be."""
        components = repository.split("/")
        return any(
            component in LAYOUT_NAMES and self._has_layout("/".join(components[:number]))
            for number, component in enumerate(components[1:], 1)
        )

    def _list(self, name: str, followed: list[str]) -> tuple[set[str], list[str]]:
        """Return the names of files and of directories; links that are followed are added to `followed`."""
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
        """Raise HardLinkedFileError if the directory is that of another repository of the store, by a symbolic link."""
        path = self._paths.repository(repository)
        try:
            target = self._disk.real_path(path)
        except _GONE:
            return
        root = self._disk.real_path(self._paths.root)
        if _overlap(target, root) and target != f"{root}/{repository}":
            raise HardLinkedFileError(
                errno.ELOOP, f"a symbolic link leads to {target}, which has a name of its own", path
            )

    def is_removed(self, repository: Repository) -> bool:
        """Tell whether there is no directory of that name, nor a symbolic link on the way to it."""
        path = self._paths.root
        for component in repository.split("/"):
            path = f"{path}/{component}"
            try:
                mode = self._disk.link_status(path).st_mode
            except _GONE:
                return True
            if stat.S_ISLNK(mode):
                return False
        return False

    def is_layout(self, repository: Repository) -> bool:
        """Tell whether there is a layout of that name."""
        try:
            self.require_own_directory(repository)
            self._disk.status(self._paths.oci_layout(repository))
            self._disk.status(self._index(repository))
        except (HardLinkedFileError, *_GONE):
            return False
        return not self._lies_within_layout(repository)

    def lock(self, repository: Repository) -> File | bool:
        """Lock the directory, and return it; False if it is locked, True if there is none."""
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

    # --- reading ---

    def signature(self, repository: Repository, place: IndexVersion) -> FileSignature | None:
        """Return the signature of an `index.json`."""
        try:
            return _signature(self._disk.link_status(self._index(repository, place)))
        except _GONE:
            return None

    def load(self, repository: Repository, place: IndexVersion) -> IndexFile | None:
        """Read an `index.json` whole. The signature is older than the bytes, if they change meanwhile."""
        try:
            opened = self._disk.open(self._index(repository, place))
        except NotRegularFileError as error:
            raise InvalidLayoutError(f"index.json cannot be read: {error.strerror}") from error
        except _GONE:
            return None
        with opened as file:
            signature = _signature(self._disk.status_of(file))
            _check_size(signature)
            content = self._disk.read(file, signature.size, 0)
        return IndexFile(index_json.decode(content), hex_of(digest_of(content)), signature)

    def open(self, repository: Repository) -> File | None:
        """Open `index.json` for reading."""
        try:
            return self._disk.open(self._index(repository))
        except _GONE:
            return None

    def scan(self, repository: Repository) -> Scanning | None:
        """Open `index.json` to be read piece by piece. Raises InvalidLayoutError."""
        try:
            file = self._disk.open(self._index(repository))
        except NotRegularFileError as error:
            raise InvalidLayoutError(f"index.json cannot be read: {error.strerror}") from error
        except _GONE:
            return None
        try:
            signature = _signature(self._disk.status_of(file))
            _check_size(signature)
        except BaseException:
            file.close()
            raise
        return Scanning(self._disk, file, signature)

    def content_changed(self, repository: Repository) -> tuple[int, ...]:
        """Return when the directories of content changed."""
        times = []
        for algorithm in HEX_LENGTHS:
            try:
                times.append(self._disk.status(self._paths.blobs(repository, algorithm)).st_mtime_ns)
            except _GONE:
                times.append(0)
        return tuple(times)

    def contents(
        self, repository: Repository, digests: Sequence[Digest], limit_bytes: int
    ) -> list[ContentFile | Unread]:
        """Read content files, as long as they are not too large together."""
        found: list[ContentFile | Unread] = []
        size = 0
        for digest in digests:
            found.append(self._content(repository, digest, limit_bytes))
            size += len(found[-1].content) if isinstance(found[-1], ContentFile) else 0
            if size >= _CONTENTS_BYTES:
                break
        return found

    def _content(self, repository: Repository, digest: Digest, limit_bytes: int) -> ContentFile | Unread:
        """Read a content file whole, if it has the digest of its name."""
        try:
            opened = self._disk.open(self._paths.content(repository, digest))
        except _GONE:
            return Unread.MISSING
        with opened as file:
            status = self._disk.status_of(file)
            if status.st_size > limit_bytes:
                return Unread.TOO_LARGE
            content = self._disk.read(file, status.st_size, 0)
        if not has_digest(content, digest):
            return Unread.DAMAGED
        return ContentFile(content, status.st_mtime_ns)

    # --- replacing ---

    def stage(self, repository: Repository) -> IndexStaging:
        """Begin a new file beside `index.json`, in the place of one that was begun before."""
        path = self._staged(repository)
        try:
            file = self._disk.create(path)
        except FileNotFoundError:
            make_directories(self._disk, self._paths.uploads(repository))
            file = self._disk.create(path)
        staging = IndexStaging(self._disk, file)
        try:
            self._disk.truncate(file, 0)
        except BaseException:
            staging.drop()
            raise
        return staging

    def place(self, repository: Repository) -> None:
        """Rename the staged file to `index.json`, which keeps its inode under another name for a while."""
        self._make_layout(repository)
        self.forget_replaced(repository)
        index = self._index(repository)
        try:
            self._disk.link(index, self._index(repository, IndexVersion.REPLACED))
        except FileNotFoundError:
            pass  # there is none to replace
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
        self._disk.rename(self._staged(repository), index)
        self._disk.sync_directory(self._paths.repository(repository))

    def forget_replaced(self, repository: Repository) -> None:
        """Remove the other name of what was replaced, for good: brought back later it would look like others' work."""
        try:
            self._disk.unlink(self._index(repository, IndexVersion.REPLACED))
        except _GONE:
            return
        self._disk.sync_directory(self._paths.uploads(repository))

    def remove(self, repository: Repository) -> None:
        """Remove what makes it a layout, then its directories, and those above it, as far as they are empty."""
        with suppress(*_GONE):
            self._disk.unlink(self._index(repository))
        for path in (self._paths.oci_layout(repository), self._staged(repository)):
            with suppress(*_GONE):
                self._disk.unlink(path)
        self.forget_replaced(repository)
        directory = self._paths.repository(repository)
        blobs = [self._paths.blobs(repository, algorithm) for algorithm in HEX_LENGTHS]
        for path in (*blobs, f"{directory}/blobs", self._paths.uploads(repository), directory):
            with suppress(OSError):  # not empty, or not there
                self._disk.rmdir(path)
        with suppress(OSError):  # another repository's
            while (directory := directory.rpartition("/")[0]) != self._paths.root:
                self._disk.rmdir(directory)

    def _make_layout(self, repository: Repository) -> None:
        path = self._paths.oci_layout(repository)
        with suppress(FileNotFoundError):
            self._disk.status(path)
            return
        with self._disk.staged(self._paths.temporary(repository)) as file:
            self._disk.write(file, [_OCI_LAYOUT], 0)
            self._disk.sync(file)
            self._disk.rename(file.path, path)

    def _index(self, repository: Repository, place: IndexVersion = IndexVersion.CURRENT) -> str:
        if place is IndexVersion.REPLACED:
            # Hidden, so that it is not taken for an upload.
            return f"{self._paths.uploads(repository)}/.index.json.replaced"
        return f"{self._paths.repository(repository)}/index.json"

    def _staged(self, repository: Repository) -> str:
        return f"{self._paths.uploads(repository)}/.index.json.staged"


class Scanning:
    """An `index.json` that is read piece by piece."""

    def __init__(self, disk: Disk, file: File, signature: FileSignature) -> None:
        """Own the file."""
        self._disk = disk
        self._file = file
        self._offset = 0
        self._reader = IndexReader()
        self._state = hasher()
        self.signature = signature
        self.head = IndexHead()
        self.digest = ""

    def next(self) -> list[bytes] | None:
        """Read a piece and return the descriptors in it, None at the end. Raises InvalidLayoutError."""
        piece = self._disk.read(self._file, _SCAN_BYTES, self._offset)
        if not piece:
            self.head, self.digest = self._reader.finish(), self._state.hexdigest()
            return None
        self._offset += len(piece)
        self._state.update(piece)
        return list(self._reader.feed(piece))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class IndexStaging:
    """A new `index.json` that is being written."""

    def __init__(self, disk: Disk, file: File) -> None:
        """Own the file, which is empty."""
        self._disk = disk
        self._file = file
        self._size = 0
        self._state = hasher()

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self._disk.write(self._file, [piece], self._size)
        self._size += len(piece)
        self._state.update(piece)

    def finish(self) -> StagedIndex:
        """Sync and close it."""
        self._disk.sync(self._file)
        signature = _signature(self._disk.status_of(self._file))
        self._file.close()
        return StagedIndex(self._state.hexdigest(), signature)

    def drop(self) -> None:
        """Close and remove it."""
        self._file.close()
        with suppress(OSError):  # what failed first is what counts
            self._disk.unlink(self._file.path)


def _links_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # to itself, or to where nothing can be seen
        return False


def _overlap(one: str, other: str) -> bool:
    """Tell whether one of two real paths is the other, or below it."""
    one, other = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return one.startswith(other) or other.startswith(one)


@lru_cache(maxsize=_WARNED_PATHS)  # once a path
def _warn_second_name(path: str, target: str) -> None:
    _log.warning("%s is a symbolic link to %s, which is served by another name: it is not followed", path, target)


def _check_size(signature: FileSignature) -> None:
    if signature.size > INDEX_LIMIT_BYTES:
        raise InvalidLayoutError(f"index.json has {signature.size} bytes, more than {INDEX_LIMIT_BYTES}")


def _signature(status: os.stat_result) -> FileSignature:
    return FileSignature(status.st_size, status.st_ino, status.st_mtime_ns)
