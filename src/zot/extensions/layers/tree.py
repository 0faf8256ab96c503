"""The directory tree of an image: the lists of its layers one above the other, with whiteouts applied.

A row of a layer hides what the layers below have in its path (`_hides_below`): a whiteout, anything that is no
directory, or a directory marked opaque. Of what is left, the highest layer's is in the image.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import apsw

from zot.extensions.layers.database import FILE_COLUMNS, depth_of, file_of
from zot.extensions.layers.interface import (
    IMPLIED_MODE,
    FileChange,
    FilePage,
    ImageFile,
    LayerFile,
    LayerFileKind,
    ListStatus,
)
from zot.oci.digest import Digest

DIRECTORY_LIMIT = 200_000
"""Rows of a directory, of all layers, that are read for a page."""
FOUND_LIMIT = 1000
"""Files that a search finds."""
COMPARED_LIMIT = 1_000_000
"""Rows of all layers that a comparison reads."""
CHANGES_LIMIT = 20_000
"""Differences that a comparison keeps."""

_WHITEOUT, _OPAQUE = 1, 2
_SEARCH_STEPS = 1_000_000
_SEARCH_ROUNDS = 100

Stack = dict[int, int]
"""The numbers of the lists of an image's layers, each with its position: 0 is the lowest layer."""


def stack_of(connection: apsw.Connection, layers: Sequence[Digest | None]) -> Stack:
    """Return the lists that are made of some layers, the lowest first; None is a layer without one.

    A layer that is there twice counts once, above: what it has below is hidden by itself.
    """
    positions = {digest: position for position, digest in enumerate(layers) if digest is not None}
    found: Stack = {}
    for digest, position in sorted(positions.items(), key=lambda each: each[1]):
        rows = connection.execute("SELECT id FROM list WHERE digest = ? AND status = ?", (digest, ListStatus.MADE))
        for (number,) in rows:
            found[number] = position
    return found


class _Row(NamedTuple):
    """A row of a list: what is known without its other columns."""

    layer: int
    hides: int
    kind: int
    mode: int


def directory(connection: apsw.Connection, stack: Stack, path: bytes, offset: int, limit: int) -> FilePage | None:
    """See `LayerFiles.directory`."""
    if path:
        found = file(connection, stack, path)
        if found is None or found.file.kind is not LayerFileKind.DIRECTORY:
            return None
    floor = max(_hiding(connection, stack, path), default=0)
    below: dict[bytes, list[_Row]] = {}
    count = 0
    for number, name, hides, kind, mode in connection.execute(
        f"SELECT list, path, hides, kind, mode FROM file WHERE list IN ({_marks(stack)}) AND depth = ? "  # noqa: S608
        "AND path >= ? AND path < ? LIMIT ?",
        (*stack, depth_of(path) + 1, *_below(path), DIRECTORY_LIMIT),
    ):
        count += 1
        if stack[number] >= floor:
            below.setdefault(name, []).append(_Row(stack[number], hides, kind, mode))
    alone = len(stack) == 1
    tops = {name: _visible(rows) or (_whiteout(rows) if alone else None) for name, rows in below.items()}
    shown = sorted((name, row) for name, row in tops.items() if row is not None)
    rows = [_image_file(connection, stack, name, row) for name, row in shown[offset : offset + limit]]
    if alone and not offset:
        rows[:0] = _opaque(connection, stack, path)
    return FilePage(len(shown), tuple(rows), partial=count == DIRECTORY_LIMIT)


def file(connection: apsw.Connection, stack: Stack, path: bytes) -> ImageFile | None:
    """See `LayerFiles.file`."""
    if not path:
        return ImageFile(LayerFile(b"", LayerFileKind.DIRECTORY), 0)
    floor = max(_hiding(connection, stack, path.rpartition(b"/")[0]), default=0)
    top = _visible([row for row in _at(connection, stack, path) if row.layer >= floor])
    return None if top is None else _image_file(connection, stack, path, top)


def find(connection: apsw.Connection, stack: Stack, text: bytes, offset: int, limit: int) -> FilePage:
    """See `LayerFiles.find`; it gives up after a number of steps, which the layers of most images are far below."""
    rounds = 0

    def too_many() -> bool:
        nonlocal rounds
        rounds += 1
        return rounds > _SEARCH_ROUNDS

    found: list[tuple[bytes, int, LayerFile]] = []
    partial = False
    connection.set_progress_handler(too_many, _SEARCH_STEPS)
    try:
        for number, *columns in connection.execute(
            f"SELECT list, {FILE_COLUMNS} FROM file WHERE list IN ({_marks(stack)}) AND hides < ? AND mode <> ? "  # noqa: S608
            "AND instr(lower(CAST(path AS TEXT)), lower(CAST(? AS TEXT))) LIMIT ?",
            (*stack, _OPAQUE, IMPLIED_MODE, text, FOUND_LIMIT + 1),
        ):
            found.append((columns[0], stack[number], file_of(columns)))
    except apsw.InterruptError:
        partial = True
    finally:
        connection.set_progress_handler(None)
    partial = partial or len(found) > FOUND_LIMIT
    found.sort(key=lambda each: (each[0].split(b"/"), each[1]))
    rows = tuple(
        ImageFile(each, layer, _hidden_by(connection, stack, path, layer))
        for path, layer, each in found[:FOUND_LIMIT][offset : offset + limit]
    )
    return FilePage(min(len(found), FOUND_LIMIT), rows, partial)


def changes(connection: apsw.Connection, before: Stack, after: Stack) -> tuple[list[FileChange], bool]:
    """Return the paths that two images do not have alike, in order, and whether there are more.

    Both are read at once, directories before what is in them, so that layers that they share are read once.
    """
    sides = (_Side(before), _Side(after))
    numbers = list(dict.fromkeys([*before, *after]))
    ordered = heapq.merge(*(_rows(connection, number) for number in numbers), key=lambda row: row[:2])
    found: list[FileChange] = []
    count = 0
    for (_, path), group in groupby(ordered, key=lambda row: row[:2]):
        rows = list(group)
        count += len(rows)
        one, other = (side.visible(path, rows) for side in sides)
        if one is not other and (one is None or other is None or one[4:] != other[4:]):
            found.append(FileChange(path, _as_file(one), _as_file(other)))
        if count > COMPARED_LIMIT or len(found) > CHANGES_LIMIT:
            break
    else:
        return _sorted(found), False
    return _sorted(found[:CHANGES_LIMIT]), True


class _Side:
    """One of the two images of a comparison, while its rows come in the order of depths."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._floors: dict[bytes, int] = {}
        """The lowest layer of which a directory shows anything, where it is not the lowest of all."""

    def visible(self, path: bytes, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...] | None:
        """Return the row that the image has at a path, of all that its layers have there."""
        floor = self._floors.get(path.rpartition(b"/")[0], 0) if self._floors else 0
        own = {_Row(self._stack[row[2]], row[3], row[4], row[6]): row for row in rows if row[2] in self._stack}
        held = [row for row in own if row.layer >= floor]
        below = max((row.layer for row in held if _hides_below(row)), default=floor)
        if below:
            self._floors[path] = below
        top = _visible(held)
        return None if top is None else own[top]


def _rows(connection: apsw.Connection, number: int) -> Iterator[tuple[Any, ...]]:
    """Iterate over a list in the order of depths and paths: these two, list, hides, and what is compared."""
    return iter(
        connection.execute(
            "SELECT depth, path, list, hides, kind, size, mode, uid, gid, target, sha256 FROM file "
            "WHERE list = ? ORDER BY depth, path, hides",
            (number,),
        )
    )


def _as_file(row: tuple[Any, ...] | None) -> LayerFile | None:
    if row is None:
        return None
    _, path, _, _, kind, size, mode, uid, gid, target, sha256 = row
    return LayerFile(path, LayerFileKind(kind), size, mode, uid, gid, target=target, sha256=sha256)


def _sorted(found: list[FileChange]) -> list[FileChange]:
    return sorted(found, key=lambda each: each.path.split(b"/"))


# --- one path ---


def _hides_below(row: _Row) -> bool:
    """Return whether a row at a path hides what lower layers have below that path."""
    return row.hides != 0 or row.kind != LayerFileKind.DIRECTORY


def _visible(rows: Sequence[_Row]) -> _Row | None:
    """Return the row that an image has at a path, of all that its layers have there and that no directory hides.

    A directory that a layer has in paths only is the one of the layers below, if they have it.
    """
    floor = max((row.layer for row in rows if row.hides == _WHITEOUT), default=0)
    held = sorted((row for row in rows if row.hides == 0 and row.layer >= floor), reverse=True)
    for row in held:
        if row.kind != LayerFileKind.DIRECTORY:
            break
        if row.mode != IMPLIED_MODE:
            return row
    return held[0] if held else None


def _whiteout(rows: Sequence[_Row]) -> _Row | None:
    return next((row for row in rows if row.hides == _WHITEOUT), None)


def _at(connection: apsw.Connection, stack: Stack, path: bytes) -> list[_Row]:
    """Return what the layers have at a path."""
    rows = connection.execute(
        f"SELECT list, hides, kind, mode FROM file WHERE list IN ({_marks(stack)}) AND depth = ? AND path = ?",  # noqa: S608
        (*stack, depth_of(path), path),
    )
    return [_Row(stack[number], *columns) for number, *columns in rows]


def _hiding(connection: apsw.Connection, stack: Stack, path: bytes) -> list[int]:
    """Return the layers that hide what is below a path in the layers under them."""
    found: list[int] = []
    while True:
        found += [row.layer for row in _at(connection, stack, path) if _hides_below(row)]
        if not path:
            return found
        path = path.rpartition(b"/")[0]


def _hidden_by(connection: apsw.Connection, stack: Stack, path: bytes, layer: int) -> int | None:
    """Return the lowest layer that deletes or replaces what a layer has at a path; None: it is in the image."""
    rows = _at(connection, stack, path)
    above = [row.layer for row in rows if row.hides != _OPAQUE and row.mode != IMPLIED_MODE]
    above += _hiding(connection, stack, path.rpartition(b"/")[0])
    return min((each for each in above if each > layer), default=None)


def _image_file(connection: apsw.Connection, stack: Stack, path: bytes, row: _Row) -> ImageFile:
    """Return the file of a row."""
    number = next(number for number, layer in stack.items() if layer == row.layer)
    ((*columns,),) = connection.execute(
        f"SELECT {FILE_COLUMNS} FROM file WHERE list = ? AND depth = ? AND path = ? AND hides = ?",  # noqa: S608
        (number, depth_of(path), path, row.hides),
    )
    return ImageFile(file_of(columns), row.layer)


def _opaque(connection: apsw.Connection, stack: Stack, path: bytes) -> list[ImageFile]:
    return [
        ImageFile(LayerFile(path, LayerFileKind.OPAQUE), row.layer)
        for row in _at(connection, stack, path)
        if row.hides == _OPAQUE
    ]


def _below(path: bytes) -> tuple[bytes, bytes]:
    """Return the first path below a directory, and the first one after all of them."""
    return (path + b"/", path + b"0") if path else (b"", b"\xff" * 8192)  # `0` follows `/`; no path is longer


def _marks(stack: Stack) -> str:
    return ",".join("?" * len(stack))
