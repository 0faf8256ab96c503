"""Lists the files of a layer while its bytes stream by: nothing is written to disk, and everything is bounded.

The library `tarfile` reads the headers, from a file that only goes forward. An archive is hostile until it is listed:
what does not decompress, has no valid header or passes a bound ends the list there, and a note says so.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from zot.extensions.layers.decompression import HEAD_BYTES, Compression, LayerDamagedError, LayerDecompressor, detect
from zot.extensions.layers.interface import IMPLIED_MODE, LayerFile, LayerFileKind

_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_INTEGER_LIMIT = (1 << 63) - 1
_NAME_BYTES = 255
_READ_BYTES = 1 << 20
_KINDS = {
    tarfile.REGTYPE: LayerFileKind.FILE,
    tarfile.AREGTYPE: LayerFileKind.FILE,
    tarfile.CONTTYPE: LayerFileKind.FILE,
    tarfile.GNUTYPE_SPARSE: LayerFileKind.FILE,
    tarfile.DIRTYPE: LayerFileKind.DIRECTORY,
    tarfile.SYMTYPE: LayerFileKind.SYMLINK,
    tarfile.LNKTYPE: LayerFileKind.HARD_LINK,
    tarfile.CHRTYPE: LayerFileKind.CHARACTER_DEVICE,
    tarfile.BLKTYPE: LayerFileKind.BLOCK_DEVICE,
    tarfile.FIFOTYPE: LayerFileKind.FIFO,
}


@dataclass(frozen=True, slots=True)
class ListBounds:
    """What a list and the archive that it is made of may have; counted, so that every machine makes the same list."""

    files: int = 500_000
    list_bytes: int = 64 << 20
    """Of the paths and targets of all files, with `FILE_BYTES` for each."""
    archive_bytes: int = 32 << 30
    """Of the uncompressed archive."""
    ratio: int = 250
    """How many times larger the archive may be than the layer, once it has `ratio_from_bytes`."""
    ratio_from_bytes: int = 256 << 20
    header_bytes: int = 1 << 20
    """Of all headers before one file: long names and attributes."""
    path_bytes: int = 4096
    depth: int = 128
    """Names of a path."""


FILE_BYTES = 100
"""What a file takes in a list beside its path and target, about."""


class _BoundError(Exception):
    """The archive passes a bound; the message says which."""


class _ForwardFile(io.RawIOBase):
    """The uncompressed archive, as `tarfile` reads it. It seeks forward only, and hashes nothing and keeps nothing."""

    def __init__(self, layer: Iterator[bytes], bounds: ListBounds) -> None:
        self._layer = layer
        self._bounds = bounds
        self._position = 0
        self._headers = 0
        self._data = b""
        self._start = 0
        self._compressed = 0
        self._decompressor: LayerDecompressor | None = None
        self._pieces: Iterator[bytes] = iter(())
        self.compression: Compression | None = None
        self.last_header = b""
        """What was read last, of at most a block."""

    def begin(self) -> None:
        """Find out how the layer is compressed. Raises LayerDamagedError."""
        head = b""
        while len(head) < HEAD_BYTES and (data := self._next_data()):
            head += data
        self.compression = detect(head)
        if self.compression is None:
            what = "it is empty" if not head else "it is neither a tar archive nor one compressed by gzip or zstd"
            raise LayerDamagedError(what)
        self._decompressor = LayerDecompressor(self.compression)
        self._pieces = self._decompressor.pieces(head)

    def begin_file(self) -> None:
        """Forget the headers before a file."""
        self._headers = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = 0) -> int:
        if whence != 0 or position < self._position:
            raise LayerDamagedError("a header has an impossible size")
        while self._position < position:
            if not self.content(min(_READ_BYTES, position - self._position)):
                raise LayerDamagedError("it ends in the middle of a file")
        return position

    def read(self, size: int = -1) -> bytes:
        """Read headers, which are bounded; contents of files are read by `content`."""
        self._headers += size
        if size < 0 or self._headers > self._bounds.header_bytes:
            raise _BoundError(f"a file has more than {self._bounds.header_bytes >> 10} KiB of headers")
        found = b""
        while len(found) < size and (piece := self.content(size - len(found))):
            found += piece
        self.last_header = found
        return found

    def content(self, limit: int) -> bytes:
        """Read at most `limit` bytes, at least one; empty at the end. Raises LayerDamagedError."""
        if self._start == len(self._data):
            self._data, self._start = self._next_piece(), 0
        piece = self._data[self._start : self._start + limit]
        self._start += len(piece)
        self._position += len(piece)
        return piece

    def _next_piece(self) -> bytes:
        assert self._decompressor is not None, "it has begun"
        while True:
            for piece in self._pieces:
                self._check_size(self._position + len(piece))
                return piece
            data = self._next_data()
            if not data:
                if not self._decompressor.complete:
                    raise LayerDamagedError("it ends in the middle of the compressed data")
                return b""
            self._pieces = self._decompressor.pieces(data)

    def _next_data(self) -> bytes:
        data = next(self._layer, b"")
        self._compressed += len(data)
        return data

    def _check_size(self, size: int) -> None:
        bounds = self._bounds
        if size > bounds.archive_bytes:
            raise _BoundError(f"it has more than {bounds.archive_bytes >> 20} MiB when it is decompressed")
        if size > bounds.ratio_from_bytes and size > bounds.ratio * self._compressed:
            raise _BoundError(f"it is more than {bounds.ratio} times larger when it is decompressed")


class _Archive(tarfile.TarFile):
    members: list[tarfile.TarInfo]
    """The library keeps all entries in it."""


class TarList:
    """The list of a layer; `files` yields it, and the other attributes are complete at its end."""

    def __init__(self, layer: Iterator[bytes], bounds: ListBounds | None = None) -> None:
        """List a layer whose bytes the iterator yields, in pieces that are not empty."""
        self._bounds = bounds or ListBounds()
        self._file = _ForwardFile(layer, self._bounds)
        self._directories: set[bytes] = {b""}
        self._list_bytes = 0
        self._left_out = 0
        self.count = 0
        """What `files` has yielded."""
        self.is_archive = False
        self.note = ""
        """Why the list has not all files; empty: it has."""

    @property
    def compression(self) -> str:
        """How the layer is compressed; empty: unknown."""
        return self._file.compression or ""

    @property
    def size(self) -> int:
        """The bytes of the uncompressed archive up to the end of the list."""
        return self._file.tell()

    def files(self) -> Iterator[LayerFile]:
        """Yield the files in the order of the archive, each after the directories that it is in.

        A path may come again: the last one counts, but a directory that is implied by a path gives way to any other.
        """
        try:
            self._file.begin()
            yield from self._entries()
        except (LayerDamagedError, _BoundError) as error:
            self.note = f"The list ends early: {error}." if self.is_archive else f"No list can be made: {error}."
        if self._left_out:
            self.note = f"{self.note} {self._left_out} entries with impossible names are left out.".lstrip()

    def _entries(self) -> Iterator[LayerFile]:
        archive = self._open()
        self.is_archive = True
        while (entry := self._next(archive)) is not None:
            # The library would keep all of them. Headers for all files that follow are kept, but no more than for one.
            archive.members.clear()
            if sum(map(len, archive.pax_headers.values())) > self._bounds.header_bytes:
                raise _BoundError("it has too many headers for all files")
            file = self._listed(entry)
            if file is None:
                self._left_out += 1
            else:
                yield from self._implied(file)
                self._count(file)
                yield file
            self._file.begin_file()

    def _open(self) -> _Archive:
        """Open the archive. Raises LayerDamagedError, _BoundError."""
        try:
            return _Archive(fileobj=self._file, encoding="utf-8", errors="surrogateescape")
        except (LayerDamagedError, _BoundError):
            raise
        except Exception as error:
            raise LayerDamagedError(f"it is no tar archive: {error}") from error

    def _next(self, archive: _Archive) -> tarfile.TarInfo | None:
        """Return the next entry, None at the end. Raises LayerDamagedError, _BoundError."""
        try:
            entry = archive.next()
        except (LayerDamagedError, _BoundError):
            raise
        # The library was not written for hostile archives: besides its own errors it raises those of the operations in
        # which a strange header fails (ValueError, OverflowError, RecursionError and others).
        except Exception as error:
            raise LayerDamagedError(f"a header is damaged ({error})") from error
        if entry is None and not self._file.last_header:
            raise LayerDamagedError("the archive has no end")
        if entry is None and self._file.last_header.strip(b"\0"):
            raise LayerDamagedError("a header is damaged")
        return entry

    def _listed(self, entry: tarfile.TarInfo) -> LayerFile | None:
        """Return an entry of the list, None for a name that no file can have."""
        kind = _KINDS.get(entry.type, LayerFileKind.OTHER)
        path = clean_path(_bytes(entry.name))
        if len(path) > self._bounds.path_bytes or path.count(b"/") >= self._bounds.depth or b"\0" in path:
            return None
        if not path and kind is not LayerFileKind.DIRECTORY:
            return None
        parent, _, name = path.rpartition(b"/")
        if name == _OPAQUE:
            return LayerFile(parent, LayerFileKind.OPAQUE)
        if name.startswith(_WHITEOUT):
            hidden = name.removeprefix(_WHITEOUT)
            # `.wh..wh.` begins names that union file systems use for themselves.
            if not hidden or hidden in {b".", b".."} or hidden.startswith(_WHITEOUT):
                return None
            return LayerFile(_joined(parent, hidden), LayerFileKind.WHITEOUT)
        size = _bounded(entry.size) if kind is LayerFileKind.FILE else 0
        whole = kind is LayerFileKind.FILE and entry.sparse is None
        return LayerFile(
            path=path,
            kind=kind,
            size=size,
            mode=entry.mode & 0o7777,
            uid=_bounded(entry.uid),
            gid=_bounded(entry.gid),
            user=_bytes(entry.uname)[:_NAME_BYTES],
            group=_bytes(entry.gname)[:_NAME_BYTES],
            modified_s=_seconds(entry.mtime),
            target=self._target(entry, kind),
            offset=entry.offset_data if whole else None,
            sha256=self._hash(entry) if whole else b"",
        )

    def _target(self, entry: tarfile.TarInfo, kind: LayerFileKind) -> bytes:
        match kind:
            case LayerFileKind.SYMLINK:
                return _bytes(entry.linkname)[: self._bounds.path_bytes]
            case LayerFileKind.HARD_LINK:
                return clean_path(_bytes(entry.linkname))[: self._bounds.path_bytes]
            case LayerFileKind.CHARACTER_DEVICE | LayerFileKind.BLOCK_DEVICE:
                return f"{entry.devmajor}, {entry.devminor}".encode()
            case _:
                return b""

    def _hash(self, entry: tarfile.TarInfo) -> bytes:
        """Read the content of a file, which is next. Raises LayerDamagedError, _BoundError."""
        found, left = hashlib.sha256(), entry.size
        while left > 0:
            piece = self._file.content(min(left, _READ_BYTES))
            if not piece:
                raise LayerDamagedError("it ends in the middle of a file")
            found.update(piece)
            left -= len(piece)
        return found.digest()

    def _implied(self, file: LayerFile) -> Iterator[LayerFile]:
        """Yield the directories of a path that the archive has not named yet."""
        missing = []
        parent = file.path if file.kind is LayerFileKind.OPAQUE else file.path.rpartition(b"/")[0]
        while parent not in self._directories:
            missing.append(parent)
            self._directories.add(parent)
            parent = parent.rpartition(b"/")[0]
        if file.kind is LayerFileKind.DIRECTORY:
            self._directories.add(file.path)
        for each in reversed(missing):
            implied = LayerFile(each, LayerFileKind.DIRECTORY, mode=IMPLIED_MODE)
            self._count(implied)
            yield implied

    def _count(self, file: LayerFile) -> None:
        bounds = self._bounds
        self.count += 1
        self._list_bytes += FILE_BYTES + len(file.path) + len(file.target)
        if self.count > bounds.files:
            raise _BoundError(f"it has more than {bounds.files:,} files")
        if self._list_bytes > bounds.list_bytes:
            raise _BoundError(f"the names of its files need more than {bounds.list_bytes >> 20} MiB")


def clean_path(path: bytes) -> bytes:
    """Return a path without `.`, `..`, empty names and the root, as what unpacks it below a directory sees it."""
    names: list[bytes] = []
    for name in path.split(b"/"):
        if name == b"..":
            del names[-1:]
        elif name not in {b"", b"."}:
            names.append(name)
    return b"/".join(names)


def _joined(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _bounded(number: int) -> int:
    return max(0, min(number, _INTEGER_LIMIT))


def _seconds(number: float) -> int:
    try:
        return max(-_INTEGER_LIMIT, min(int(number), _INTEGER_LIMIT))
    except (OverflowError, ValueError):  # infinite, or not a number
        return 0
