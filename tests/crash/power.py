"""The possible states of a disk after a power loss: all of them, or a sample.

The law, as POSIX gives it and no file system is weaker (one that keeps more only makes some of the states impossible):

- A file is an inode: bytes and a size. `fsync` of it makes all its bytes and its size survive, under whatever names.
  Each write and truncation since then may be there or lost, whatever happened to those before and after it, in this
  file and in others. Of a write any run of blocks may be there (blocks of 512 bytes begin at multiples of 512; bytes
  outside of what was written are never touched). A lost write that made the file longer may leave the length, and
  zeros.
- A directory is a set of names. `fsync` of it makes its names survive, not the bytes of the files. Each creation,
  link, removal and renaming since then may be there or lost, whatever happened to the others, as far as it makes
  sense: a file that has no name cannot be renamed.
- Renaming is atomic, also between directories: the file has its old name or its new one. It survives once the
  directory of the new name is synced.
- What has no name on the way from the root is not there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import product
from math import prod
from posixpath import split
from typing import NamedTuple

from crash.trace import Change, Trace

BLOCK_BYTES = 512
# Up to this many combinations at one cut are tried one by one, more are sampled.
EXHAUSTIVE = 128

Tree = dict[str, bytes | None]
"""Paths with the bytes of files, None for directories; the root is left out."""


class Bytes(NamedTuple):
    """A change of a file's bytes that is not synced: `data` is None for a truncation."""

    offset: int
    data: bytes | None
    extends: bool
    label: str


class Names(NamedTuple):
    """A change of names that is not synced: `inode` leaves `old` and gets `new` (a directory and a name, each)."""

    inode: int
    old: tuple[int, str] | None
    new: tuple[int, str] | None
    label: str


@dataclass
class _File:
    synced: bytes
    size: int
    pending: list[Bytes] = field(default_factory=list)


@dataclass
class Cut:
    """The disk at one moment: what certainly survives, and what may."""

    root: int
    directories: dict[int, dict[str, int]]
    files: dict[int, _File]
    names: list[Names]

    # --- states ---

    def states(self, chance: random.Random) -> Iterator[tuple[Tree, list[str]]]:
        """Iterate over legal states without end, or over all if they are few; each with what was lost in it."""
        variants = self._variants()
        choices = [len(each) for each in variants]
        if prod(choices) <= EXHAUSTIVE:
            vectors: Iterator[Sequence[int]] = product(*map(range, choices))
        else:
            vectors = _sampled(choices, chance)
        for vector in vectors:
            yield self._state([each[chosen] for each, chosen in zip(variants, vector, strict=True)])

    def _variants(self) -> list[list[str]]:
        """List the possible fates of each pending change: first that it is there, second that it is not."""
        variants = [["kept", "lost"] for _ in self.names]
        for file in self.files.values():
            variants += [_fates(each) for each in file.pending]
        return variants

    def _state(self, fates: Sequence[str]) -> tuple[Tree, list[str]]:
        labels = [names.label for names in self.names]
        labels += [change.label for file in self.files.values() for change in file.pending]
        lost = [f"{fate}: {label}" for fate, label in zip(fates, labels, strict=True) if fate != "kept"]
        directories = {inode: dict(names) for inode, names in self.directories.items()}
        for fate, names in zip(fates, self.names, strict=False):
            if fate == "kept":
                _rename(directories, names)
        contents = {}
        position = len(self.names)
        for inode, file in self.files.items():
            contents[inode] = (file, fates[position : position + len(file.pending)])
            position += len(file.pending)
        tree: Tree = {}
        _walk(tree, "", self.root, directories, contents)
        return tree, lost


def fingerprint(tree: Tree) -> bytes:
    """Return a key that distinguishes states."""
    state = blake2b(digest_size=16)
    for path in sorted(tree):
        content = tree[path]
        state.update(f"{path}\0{-1 if content is None else len(content)}\0".encode())
        state.update(content or b"")
    return state.digest()


def cuts(trace: Trace) -> Iterator[tuple[int, Cut]]:
    """Iterate over all moments of a trace: before its first event, and after each; with the number of events so far."""
    replay = _Replay(trace)
    yield 0, replay.cut()
    for number, event in enumerate(trace.events, 1):
        if isinstance(event, Change):
            replay.apply(event)
        yield number, replay.cut()


# --- the fate of one change of bytes ---


def _fates(change: Bytes) -> list[str]:
    fates = ["kept", "lost"]
    if change.data is None:
        return fates
    if change.extends:
        fates.append("zeros")
    for edge in _edges(change.offset, len(change.data)):
        fates += [f"until {edge}", f"from {edge}"]
    return fates


def _edges(offset: int, size: int) -> list[int]:
    """Return some block edges in a write, as offsets from its start: the first, the middle one and the last."""
    edges = range(BLOCK_BYTES - offset % BLOCK_BYTES, size, BLOCK_BYTES)
    return sorted({edges[0], edges[len(edges) // 2], edges[-1]}) if edges else []


def _content(file: _File, fates: Sequence[str]) -> bytes:
    if not file.pending:
        return file.synced
    content = bytearray(file.synced)
    for change, fate in zip(file.pending, fates, strict=True):
        if fate == "lost":
            continue
        if change.data is None:
            _resize(content, change.offset)
            continue
        end = change.offset + len(change.data)
        word, _, edge = fate.partition(" ")
        first, last = {
            "kept": (0, len(change.data)),
            "zeros": (0, 0),
            "until": (0, int(edge or 0)),
            "from": (int(edge or 0), len(change.data)),
        }[word]
        # A length that is there without its bytes shows zeros.
        reached = end if change.extends and word in {"zeros", "from"} else change.offset + last
        if len(content) < reached:
            _resize(content, reached)
        content[change.offset + first : change.offset + last] = change.data[first:last]
    return bytes(content)


def _resize(content: bytearray, size: int) -> None:
    if len(content) > size:
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def _sampled(choices: Sequence[int], chance: random.Random) -> Iterator[Sequence[int]]:
    """Iterate without end: first the extremes and their neighbours in one place, then random combinations."""
    kept, lost = [0] * len(choices), [1] * len(choices)
    yield kept
    yield lost
    places = list(range(len(choices)))
    chance.shuffle(places)
    for place in places:
        yield [*lost[:place], 0, *lost[place + 1 :]]
        yield [*kept[:place], chance.randrange(1, choices[place]), *kept[place + 1 :]]
    while True:
        share = chance.choice((0.2, 0.5, 0.8))
        yield [0 if chance.random() < share else chance.randrange(1, count) for count in choices]


# --- names ---


def _rename(directories: dict[int, dict[str, int]], change: Names) -> bool:
    """Carry out a change of names if it makes sense."""
    if change.old is not None:
        directory, name = change.old
        if directories[directory].get(name) != change.inode:
            return False
        del directories[directory][name]
    if change.new is not None:
        directory, name = change.new
        directories[directory][name] = change.inode
    return True


def _walk(
    tree: Tree,
    path: str,
    inode: int,
    directories: Mapping[int, Mapping[str, int]],
    contents: Mapping[int, tuple[_File, Sequence[str]]],
) -> None:
    for name, child in directories[inode].items():
        below = f"{path}/{name}" if path else name
        if child in directories:
            tree[below] = None
            _walk(tree, below, child, directories, contents)
        else:
            tree[below] = _content(*contents[child])


# --- from events to moments ---


class _Replay:
    """Follows a trace. Inodes get new numbers, because the system reuses the number of a removed file."""

    def __init__(self, trace: Trace) -> None:
        self._directories: dict[int, dict[str, int]] = {}
        self._now: dict[int, dict[str, int]] = {}
        """The names as the running system sees them."""
        self._files: dict[int, _File] = {}
        self._names: list[Names] = []
        self._known: dict[int, int] = {}
        """From the system's number of an inode to ours."""
        self._last = 0
        self._root = 0
        for path in sorted(trace.base):
            self._add_base(path, *trace.base[path])

    def _add_base(self, path: str, system_inode: int, content: bytes | None) -> None:
        inode = self._new(system_inode, content)
        if not path:
            self._root = inode
            return
        directory, name = self._place(path)
        self._now[directory][name] = self._directories[directory][name] = inode

    def _new(self, system_inode: int, content: bytes | None) -> int:
        self._last += 1
        self._known[system_inode] = self._last
        if content is None:
            self._directories[self._last], self._now[self._last] = {}, {}
        else:
            self._files[self._last] = _File(content, len(content))
        return self._last

    def cut(self) -> Cut:
        """Return the current moment."""
        named = {inode for names in self._now.values() for inode in names.values()}
        named |= {inode for names in self._directories.values() for inode in names.values()}
        named |= {change.inode for change in self._names}
        return Cut(
            self._root,
            {inode: dict(names) for inode, names in self._directories.items()},
            {
                inode: _File(file.synced, file.size, list(file.pending))
                for inode, file in self._files.items()
                if inode in named
            },
            list(self._names),
        )

    def apply(self, change: Change) -> None:
        """Advance by one operation."""
        match change.verb:
            case "write" | "truncate" | "sync":
                self._change_bytes(change)
            case "create":
                directory, name = self._place(change.path)
                if name not in self._now[directory]:
                    self._change_names(self._new(change.inode, b""), None, change.path, change)
            case "mkdir":
                self._change_names(self._new(change.inode, None), None, change.path, change)
            case "link":
                self._change_names(self._at(change.path), None, change.target, change)
            case "unlink" | "rmdir":
                self._change_names(self._at(change.path), change.path, None, change)
            case "rename":
                self._change_names(self._at(change.path), change.path, change.target, change)
            case "sync directory":
                self._sync_directory(self._at(change.path))
            case verb:
                raise AssertionError(verb)

    def _change_bytes(self, change: Change) -> None:
        file = self._files[self._known[change.inode]]
        match change.verb:
            case "write":
                end = change.offset + len(change.data)
                file.pending.append(Bytes(change.offset, change.data, end > file.size, str(change)))
                file.size = max(file.size, end)
            case "truncate":
                file.pending.append(Bytes(change.offset, None, change.offset > file.size, str(change)))
                file.size = change.offset
            case "sync":
                file.synced, file.pending = _content(file, ["kept"] * len(file.pending)), []

    def _change_names(self, inode: int, old: str | None, new: str | None, change: Change) -> None:
        names = Names(inode, self._place(old) if old else None, self._place(new) if new else None, str(change))
        assert _rename(self._now, names), change
        self._names.append(names)

    def _sync_directory(self, directory: int) -> None:
        waiting: list[Names] = []
        for change in self._names:
            place = change.new or change.old
            assert place is not None
            if place[0] != directory:
                waiting.append(change)
                continue
            # What led up to it, in the directory that a file came from, is there with it, or does not matter any more.
            for earlier in [each for each in waiting if change.old and each.new == change.old]:
                waiting.remove(earlier)
                _rename(self._directories, earlier)
            _rename(self._directories, change)
        self._names = waiting

    def _at(self, path: str) -> int:
        if not path:
            return self._root
        directory, name = self._place(path)
        return self._now[directory][name]

    def _place(self, path: str) -> tuple[int, str]:
        above, name = split(path)
        return self._at(above), name
