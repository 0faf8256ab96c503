"""Content files on a disk: placed, shared by hard links, opened, removed, quarantined."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import islice

from zot.foundation.threads import ThreadPool
from zot.oci.digest import Digest, InvalidDigestError, algorithm_of, parse_digest
from zot.oci.names import Repository
from zot.storage.directories import Directories
from zot.storage.disk import Disk, File
from zot.storage.file_content import FileContent
from zot.storage.identity import make_directories
from zot.storage.interface import (
    SMALL_BYTES,
    ContentDamagedError,
    ContentMissingError,
    FoundFile,
    UploadKey,
    UploadMissingError,
    require_digest,
)
from zot.storage.layout_paths import LayoutPaths
from zot.storage.os_errors import NO_LINK
from zot.storage.uploads import UploadFiles

_WALK_BATCH = 256
_READ_BYTES = 1024 * 1024
_READ_AHEAD_BYTES = 1024 * 1024

_log = logging.getLogger(__name__)


class ContentFiles:
    """Blocking operations on content files; call each in a pool's thread. They raise OSError, ContentMissingError.

    A file gets its name in `blobs` only when its bytes are complete and synced, and the name is synced before the
    operation returns. Without `durable` nothing is synced.
    """

    def __init__(
        self, disk: Disk, paths: LayoutPaths, directories: Directories, uploads: UploadFiles, *, durable: bool
    ) -> None:
        """Operate on the repositories below one root."""
        self._disk = disk
        self._paths = paths
        self._directories = directories
        self._uploads = uploads
        self._durable = durable
        self.links_refused = 0
        """How often content was not shared because the file system refused a hard link."""

    def open(self, repository: Repository, digest: Digest) -> tuple[File, os.stat_result]:
        """Open content and return it with its status."""
        try:
            file = self._disk.open(self._paths.content(repository, digest))
        except (FileNotFoundError, NotADirectoryError):
            raise _missing(repository, digest) from None
        with ExitStack() as failing:
            failing.enter_context(file)
            status = self._disk.status_of(file)
            failing.pop_all()
        return file, status

    def open_to_send(self, repository: Repository, digest: Digest, pool: ThreadPool) -> FileContent:
        """Open content to send it; read it if it is small, else have the system read its beginning ahead."""
        file, status = self.open(repository, digest)
        data = None
        with ExitStack() as failing:
            failing.enter_context(file)
            if status.st_size > SMALL_BYTES:
                self._disk.will_need(file, 0, _READ_AHEAD_BYTES)
            else:
                with suppress(OSError):  # a sector that cannot be read: the reader of the file learns why
                    data = self._disk.read(file, status.st_size, 0)
            failing.pop_all()
        return FileContent(self._disk, pool, file, status, data)

    def size(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of content, None if it is not there."""
        try:
            return self._disk.file_status(self._paths.content(repository, digest)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def same(self, upload: UploadKey, size: int, repository: Repository, digest: Digest, step: tuple[int, int]) -> bool:
        """Return whether content has the `size` of the staged bytes, and equals them in one step: offset and length.

        False if content is missing or unreadable. Raises UploadMissingError, UploadLockedError.
        """
        try:
            content, status = self.open(repository, digest)
        except (OSError, ContentMissingError):
            return False
        with content:
            if status.st_size != size:
                return False
            with self._uploads.open_locked(upload, size).file as staged:
                return self._equal(staged, content, *step)

    def _equal(self, staged: File, content: File, offset: int, length: int) -> bool:
        end = offset + length
        while offset < end:
            piece = self._disk.read(staged, min(_READ_BYTES, end - offset), offset)
            try:
                if not piece or self._disk.read(content, len(piece), offset) != piece:
                    return False
            except OSError as error:
                _log.warning("%s cannot be read: %s", content.path, error.strerror)
                return False
            offset += len(piece)
        return True

    def place(self, upload: UploadKey, digest: Digest, size: int, twin: Repository | None) -> None:
        """Make the staged file content, or replace it by a link to the twin's content.

        Raises UploadMissingError, UploadLockedError.
        """
        target = self._paths.content(upload.repository, digest)
        self._directories.for_content(upload.repository, algorithm_of(digest))
        try:
            held = self._uploads.open_locked(upload, size)
        except UploadMissingError:
            # Placed already, by a call whose outcome the caller did not learn.
            if self.size(upload.repository, digest) != size:
                raise
            self._sync_file(target)
            self._sync_name(upload.repository, digest)
            return
        with held.file as staged:
            self._uploads.cut_locked(held, size)
            shared = twin is not None and self._share_twin(twin, upload.repository, digest, size)
            if not shared:
                self._uploads.sync(staged)
                self._uploads.rename(upload, target)
            self._sync_name(upload.repository, digest)
            if shared:
                self._uploads.discard(upload)

    def put_verified(
        self, repository: Repository, digest: Digest, pieces: Sequence[bytes], twin: Repository | None
    ) -> None:
        """Make bytes in memory content, or share the twin's, as `Storage.put_verified` states."""
        require_digest(pieces, digest)
        self._directories.for_content(repository, algorithm_of(digest))
        # Only now: the free space of another disk tells nothing.
        self._uploads.check_space(sum(map(len, pieces)))
        if twin is None or not self._share_equal(twin, repository, digest, pieces):
            self._write(self._paths.content(repository, digest), repository, pieces)
        self._sync_name(repository, digest)

    def _share_equal(self, twin: Repository, repository: Repository, digest: Digest, pieces: Sequence[bytes]) -> bool:
        """Link the twin's content, whose bytes have to be the pieces; return False if that is impossible."""
        try:
            file = self._disk.open(self._paths.content(twin, digest))
        except (FileNotFoundError, NotADirectoryError):
            raise ContentDamagedError(f"{twin} has no content {digest}") from None
        with file:
            offset = 0
            for piece in pieces:
                try:
                    same = self._disk.read(file, len(piece), offset) == piece
                except OSError as error:
                    raise ContentDamagedError(f"{file.path} cannot be read: {error.strerror}") from error
                if not same:
                    raise ContentDamagedError(f"{file.path} has other bytes")
                offset += len(piece)
            if self._disk.status_of(file).st_size != offset:
                raise ContentDamagedError(f"{file.path} has another size than {offset}")
            try:
                if self._durable:
                    self._disk.sync(file)
            except OSError as error:
                _log.warning("%s cannot be synced (%s): it is not shared", file.path, error.strerror)
                return False
        try:
            return self._share(twin, repository, digest)
        except FileNotFoundError:  # removed concurrently
            return False

    def link(self, source: Repository, target: Repository, digest: Digest, size: int) -> bool:
        """Link the source's content into the target; return False if the file system refuses hard links.

        Raises ContentDamagedError if the source's content does not have `size` bytes.
        """
        found = self.size(source, digest)
        if found is None:
            raise _missing(source, digest)
        if found != size:
            raise ContentDamagedError(f"{digest} of {source} has {found} bytes instead of {size}")
        self._directories.for_content(target, algorithm_of(digest))
        try:
            # Its writer may not have synced it.
            self._sync_file(self._paths.content(source, digest))
            shared = self._share(source, target, digest)
        except FileNotFoundError:
            if self.size(source, digest) is None:
                raise _missing(source, digest) from None
            raise
        if shared:
            self._sync_name(target, digest)
        return shared

    def put_all(self, contents: Mapping[Repository, Mapping[Digest, bytes]]) -> None:
        """Write small contents, then sync their names. They may use the space that is kept free of uploads.

        All are written before the first sync, and all have their names before the first sync of a directory, so that
        one commit of the file system's journal covers them.
        """
        directories: set[str] = set()
        with ExitStack() as opened:
            written: list[tuple[File, str]] = []
            for repository, its in contents.items():
                for algorithm in {algorithm_of(digest) for digest in its}:
                    self._directories.for_content(repository, algorithm)
                    directories.add(self._paths.blobs(repository, algorithm))
                for digest, content in its.items():
                    target = self._paths.content(repository, digest)
                    if self._holds(target, content):
                        # Its writer may have died before it was synced.
                        written.append((opened.enter_context(self._disk.open(target)), target))
                    else:
                        file = opened.enter_context(self._disk.staged(self._paths.temporary(repository)))
                        self._disk.write(file, [content], 0)
                        written.append((file, target))
            if self._durable:
                self._disk.sync_all([file for file, _ in written])
            for file, target in written:
                if file.path != target:
                    self._disk.rename(file.path, target)
        for path in sorted(directories):
            self._directories.sync(path)

    def _write(self, target: str, repository: Repository, pieces: Sequence[bytes]) -> None:
        with self._disk.staged(self._paths.temporary(repository)) as file:
            self._disk.write(file, pieces, 0)
            if self._durable:
                self._disk.sync(file)
            self._disk.rename(file.path, target)

    def remove(self, repository: Repository, digest: Digest) -> None:
        """Remove content. Idempotent, and durable: an emptied layout could otherwise be imported with it."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self._disk.unlink(self._paths.content(repository, digest))
        # Also if it was gone: the process that removed it may have died before this.
        with suppress(FileNotFoundError, NotADirectoryError):
            self._sync_name(repository, digest)

    def quarantine(self, repository: Repository, digest: Digest) -> bool:
        """Move content to the quarantine; if it is missing, create an empty file there as the record."""
        quarantine, path = self._paths.quarantine_directory(repository), self._paths.quarantined(repository, digest)
        make_directories(self._disk, quarantine)
        try:
            self._disk.rename(self._paths.content(repository, digest), path)
        except (FileNotFoundError, NotADirectoryError):
            # What was quarantined before is a record, too, and may be what no file can be created over: a pipe, a link.
            try:
                self._disk.link_status(path)
            except FileNotFoundError:
                self._disk.create(path).close()
            self._directories.sync(quarantine)
            return False
        self._directories.sync(quarantine)
        self._sync_name(repository, digest)
        return True

    def is_quarantined(self, repository: Repository, digest: Digest) -> bool:
        """Return whether the quarantine has content of that name."""
        try:
            self._disk.status(self._paths.quarantined(repository, digest))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def walk(self, repository: Repository, algorithm: str) -> Generator[list[FoundFile], None, None]:
        """Iterate over content files in batches of some hundred. Other files are skipped."""
        try:
            listing = self._disk.entries(self._paths.blobs(repository, algorithm))
        except (FileNotFoundError, NotADirectoryError):
            return
        with listing as entries:
            found = (_found_file(algorithm, entry) for entry in entries)
            while batch := list(islice((each for each in found if each is not None), _WALK_BATCH)):
                yield batch

    def _holds(self, path: str, content: bytes) -> bool:
        try:
            return self._disk.read_file(path, len(content) + 1) == content
        except FileNotFoundError:
            return False

    def _sync_file(self, path: str) -> None:
        if self._durable:
            with self._disk.open(path) as file:
                self._disk.sync(file)

    def _sync_name(self, repository: Repository, digest: Digest) -> None:
        self._directories.sync(self._paths.blobs(repository, algorithm_of(digest)))

    def _share_twin(self, twin: Repository, repository: Repository, digest: Digest, size: int) -> bool:
        """Link the twin's content; return False if that is impossible or the twin's has another size."""
        found = self.size(twin, digest)
        if found != size:
            if found is not None:
                _log.warning("%s of %s has %d bytes instead of %d: it is not shared", digest, twin, found, size)
            return False
        try:
            self._sync_file(self._paths.content(twin, digest))
        except OSError as error:
            _log.warning("%s of %s cannot be read (%s): it is not shared", digest, twin, error.strerror)
            return False
        try:
            return self._share(twin, repository, digest)
        except FileNotFoundError:  # removed concurrently
            return False

    def _share(self, source: Repository, target: Repository, digest: Digest) -> bool:
        """Link the source's content into the target, replacing a file; return False if links are refused."""
        path, new = self._paths.content(source, digest), self._paths.content(target, digest)
        try:
            self._disk.link(path, new)
        except FileExistsError:
            self._replace_by_link(path, new, self._paths.temporary(target))
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            if not self.links_refused:
                _log.warning("%s: hard link refused (%s): such content takes up space twice", new, error.strerror)
            self.links_refused += 1
            return False
        return True

    def _replace_by_link(self, path: str, new: str, temporary: str) -> None:
        if os.path.samestat(self._disk.file_status(path), self._disk.link_status(new)):
            return
        self._disk.link(path, temporary)
        try:
            self._disk.rename(temporary, new)
        except BaseException:
            with suppress(OSError):
                self._disk.unlink(temporary)
            raise


def _missing(repository: Repository, digest: Digest) -> ContentMissingError:
    return ContentMissingError(f"{repository} has no content {digest}")


def _found_file(algorithm: str, entry: os.DirEntry[str]) -> FoundFile | None:
    try:
        digest = parse_digest(f"{algorithm}:{entry.name}")
        status = entry.stat(follow_symlinks=False)
    except (InvalidDigestError, FileNotFoundError):  # another program's, or removed concurrently
        return None
    return FoundFile(digest, status.st_size, status.st_mtime) if stat.S_ISREG(status.st_mode) else None
