"""Read and replace the `index.json` of layouts: blocking steps, each for a pool's thread. They raise OSError."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress

from zot.catalog.rows import Unread
from zot.layout import index_json
from zot.layout.index_json import IndexHead, IndexReader, InvalidLayoutError
from zot.layout.interface import (
    INDEX_LIMIT_BYTES,
    ContentFile,
    FileSignature,
    FoundIndex,
    IndexFile,
    IndexSignatures,
    IndexVersion,
    Placed,
    Replacement,
    StagedIndex,
)
from zot.oci.digest import HEX_LENGTHS, Digest, digest_of, has_digest, hasher, hex_of
from zot.oci.names import Repository
from zot.storage.disk import Disk, File, NotRegularFileError
from zot.storage.identity import make_directories
from zot.storage.layout_paths import LayoutPaths
from zot.storage.os_errors import NO_LINK
from zot.storage.synced_directories import SyncedDirectories

_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
# Pieces of some hundred descriptors.
_SCAN_BYTES = 64 * 1024
# Contents in memory at once, beside the one that exceeds the limit.
_CONTENTS_BYTES = 4 * 1024 * 1024
_GONE = (FileNotFoundError, NotADirectoryError)


class IndexFiles:
    """Operations on the `index.json` of the layouts below one root, and on the content that it lists."""

    def __init__(self, disk: Disk, root: str, synced: SyncedDirectories | None = None) -> None:
        """Operate below `root`; `synced` is shared with what makes directories there."""
        self._synced = synced or SyncedDirectories()
        self._disk = disk
        self._paths = LayoutPaths(root)

    # --- reading ---

    def signature(self, repository: Repository, version: IndexVersion) -> FileSignature | None:
        """Return the signature of an `index.json`."""
        try:
            return _signature(self._disk.link_status(self._index(repository, version)))
        except _GONE:
            return None

    def signatures(self, repository: Repository) -> IndexSignatures:
        """Return the signatures of both versions."""
        return IndexSignatures(
            self.signature(repository, IndexVersion.CURRENT), self.signature(repository, IndexVersion.REPLACED)
        )

    def load(self, repository: Repository, version: IndexVersion) -> IndexFile | None:
        """Parse an `index.json`. The signature is older than bytes that change concurrently."""
        try:
            opened = self._disk.open(self._index(repository, version))
        except NotRegularFileError as error:
            raise InvalidLayoutError(f"index.json cannot be read: {error.strerror}") from error
        except _GONE:
            return None
        with opened as file:
            signature = _signature(self._disk.status_of(file))
            _check_size(signature)
            content = self._disk.read(file, signature.size, 0)
        return IndexFile(index_json.decode(content), hex_of(digest_of(content)), signature)

    def small(self, repository: Repository, limit_bytes: int) -> FoundIndex | None:
        """Return the signatures and the bytes of an `index.json`, None if it is larger than `limit_bytes`."""
        signatures = self.signatures(repository)
        if signatures.current is None:
            return FoundIndex(signatures, b"")
        if signatures.current.size > limit_bytes:
            return None
        return FoundIndex(signatures, self._disk.read_file(self._index(repository), limit_bytes))

    def open(self, repository: Repository) -> File | None:
        """Open `index.json` for reading."""
        try:
            return self._disk.open(self._index(repository))
        except _GONE:
            return None

    def scan(self, repository: Repository) -> OpenIndex | None:
        """Open `index.json` to read it piece by piece. Raises InvalidLayoutError."""
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
        return OpenIndex(self._disk, file, signature)

    def content_changed(self, repository: Repository) -> tuple[int, ...]:
        """Return the times of the last change of the directories of content."""
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
        """Read content files until they are large enough together."""
        found: list[ContentFile | Unread] = []
        size = 0
        for digest in digests:
            found.append(self._content(repository, digest, limit_bytes))
            size += len(found[-1].content) if isinstance(found[-1], ContentFile) else 0
            if size >= _CONTENTS_BYTES:
                break
        return found

    def _content(self, repository: Repository, digest: Digest, limit_bytes: int) -> ContentFile | Unread:
        """Read a content file, if it has the digest of its name."""
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
        """Begin a new file beside `index.json`, replacing an earlier one."""
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

    def stage_all(self, indexes: Mapping[Repository, bytes]) -> dict[Repository, StagedIndex]:
        """Write and sync new files beside `index.json`, and what makes directories layouts.

        If it raises, nothing is staged.
        """
        stagings: dict[Repository, IndexStaging] = {}
        with ExitStack() as failing:
            for repository, content in indexes.items():
                stagings[repository] = self.stage(repository)
                failing.callback(stagings[repository].drop)
                stagings[repository].write(content)
            self._make_layouts(indexes, [staging.file for staging in stagings.values()])
            staged = {repository: staging.close() for repository, staging in stagings.items()}
            failing.pop_all()
        return staged

    def place_all(self, replacements: Mapping[Repository, Replacement]) -> dict[Repository, Placed]:
        """Rename the staged files to `index.json`, where the current ones are those that were seen."""
        unchanged = [
            name for name, each in replacements.items() if self.signature(name, IndexVersion.CURRENT) == each.seen
        ]
        self._make_layouts(unchanged, [])
        directories: list[str] = []
        placed = {name: self._place(name, replacements[name], directories) for name in unchanged}
        # All changes are made before the syncs, so that one commit of a journal has them.
        for directory in directories:
            self._disk.sync_directory(directory)
        return placed

    def _place(self, repository: Repository, replacement: Replacement, directories: list[str]) -> Placed:
        """Rename one staged file; add the directories that are to be synced.

        Another program may still write the current one at the last moment: so it keeps another name until it has been
        looked at.
        """
        self.forget_replaced(repository)
        index = self._index(repository)
        try:
            self._disk.link(index, self._index(repository, IndexVersion.REPLACED))
        except FileNotFoundError:
            pass  # there is no file to replace
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
        self._disk.rename(self._staged(repository), index)
        seen, replaced = replacement.seen, self.signature(repository, IndexVersion.REPLACED)
        directories.append(self._paths.repository(repository))
        if replaced == seen is not None:
            self._disk.unlink(self._index(repository, IndexVersion.REPLACED))
            directories.append(self._paths.uploads(repository))
        assert replacement.staged.signature is not None, f"{index} is staged in a file"
        return Placed(replacement.staged.signature, over_another=replaced not in (None, seen))

    def forget_replaced(self, repository: Repository) -> None:
        """Remove the replaced file durably: restored later it would pass for the work of another program."""
        try:
            self._disk.unlink(self._index(repository, IndexVersion.REPLACED))
        except _GONE:
            return
        self._disk.sync_directory(self._paths.uploads(repository))

    def remove(self, repository: Repository) -> None:
        """Remove the layout's own files, then its directories and those above it that are empty."""
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
                self._remove_directory(path)
        with suppress(OSError):  # another repository's
            while (directory := directory.rpartition("/")[0]) != self._paths.root:
                self._remove_directory(directory)

    def _remove_directory(self, path: str) -> None:
        with self._synced.removing(path):
            self._disk.rmdir(path)

    def _make_layouts(self, repositories: Iterable[Repository], others: Sequence[File]) -> None:
        """Write `oci-layout` where it is missing, and sync it together with the other files."""
        with ExitStack() as opened:
            made: list[tuple[File, str]] = []
            for repository in repositories:
                path = self._paths.oci_layout(repository)
                try:
                    self._disk.status(path)
                except FileNotFoundError:
                    file = opened.enter_context(self._disk.staged(self._paths.temporary(repository)))
                    self._disk.write(file, [_OCI_LAYOUT], 0)
                    made.append((file, path))
            self._disk.sync_all([*others, *(file for file, _ in made)])
            for file, path in made:
                self._disk.rename(file.path, path)

    def _index(self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT) -> str:
        if version is IndexVersion.REPLACED:
            # Hidden, so that it is not taken for an upload.
            return f"{self._paths.uploads(repository)}/.index.json.replaced"
        return self._paths.index_json(repository)

    def _staged(self, repository: Repository) -> str:
        return f"{self._paths.uploads(repository)}/.index.json.staged"


class OpenIndex:
    """An `index.json` that is being read piece by piece."""

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
        """Read a piece and return its descriptors, or None at the end. Raises InvalidLayoutError."""
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
        """Own the empty file."""
        self._disk = disk
        self.file = file
        self._size = 0
        self._state = hasher()

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self._disk.write(self.file, [piece], self._size)
        self._size += len(piece)
        self._state.update(piece)

    def finish(self) -> StagedIndex:
        """Sync and close the file."""
        self._disk.sync(self.file)
        return self.close()

    def close(self) -> StagedIndex:
        """Close the file, which is synced."""
        signature = _signature(self._disk.status_of(self.file))
        self.file.close()
        return StagedIndex(self._state.hexdigest(), signature)

    def drop(self) -> None:
        """Close and remove the file."""
        self.file.close()
        with suppress(OSError):  # the first failure counts
            self._disk.unlink(self.file.path)


def _check_size(signature: FileSignature) -> None:
    if signature.size > INDEX_LIMIT_BYTES:
        raise InvalidLayoutError(f"index.json has {signature.size} bytes, more than {INDEX_LIMIT_BYTES}")


def _signature(status: os.stat_result) -> FileSignature:
    return FileSignature(status.st_size, status.st_ino, status.st_mtime_ns)
