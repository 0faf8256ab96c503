"""The model of a disk that lost power, by hand: its possible and impossible states."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

from crash.power import Tree, cuts
from crash.trace import BaseFile, Change, Trace


def states(*changes: Change) -> list[Tree]:
    """Return the possible states after changes to an empty root with a directory `d` and a file `f` of 'old'."""
    base = {"": BaseFile(1, None), "d": BaseFile(2, None), "f": BaseFile(3, b"old")}
    trace = Trace(Path("/"), base, list(changes))
    *_, (_, last) = cuts(trace)
    found: list[Tree] = []
    for tree, _lost in islice(last.states(random.Random(0)), 1000):
        if tree not in found:
            found.append(tree)
    return found


def files(*changes: Change) -> set[frozenset[tuple[str, bytes | None]]]:
    """Return the same as sets of files, without the directories."""
    return {frozenset(item for item in tree.items() if item[1] is not None) for tree in states(*changes)}


def one(**contents: bytes) -> frozenset[tuple[str, bytes | None]]:
    """Return a set of files, `__` in a name being a slash."""
    return frozenset((name.replace("__", "/"), content) for name, content in contents.items())


MAKE = Change("create", "d/new", inode=9)
WRITE = Change("write", "d/new", data=b"bytes", inode=9)
SYNC = Change("sync", "d/new", inode=9)
SYNC_D = Change("sync directory", "d")
SYNC_ROOT = Change("sync directory", "")


def test_a_file_that_was_not_synced() -> None:
    """It may be there with its bytes, empty, as zeros, or not at all."""
    assert files(MAKE, WRITE) == {
        one(f=b"old"),
        one(f=b"old", d__new=b""),
        one(f=b"old", d__new=bytes(5)),
        one(f=b"old", d__new=b"bytes"),
    }


def test_syncs_of_file_and_directory_are_two_things() -> None:
    """The one makes bytes survive, the other the name; with both nothing is left to chance."""
    assert files(MAKE, WRITE, SYNC) == {one(f=b"old"), one(f=b"old", d__new=b"bytes")}
    assert one(f=b"old", d__new=bytes(5)) in files(MAKE, WRITE, SYNC_D)
    assert files(MAKE, WRITE, SYNC, SYNC_D) == {one(f=b"old", d__new=b"bytes")}


def test_a_renaming_is_done_or_undone() -> None:
    """A file that replaces another one has either name, and the new one for sure once its directory is synced."""
    made = (MAKE, WRITE, SYNC, SYNC_D, Change("rename", "d/new", "f"))
    assert files(*made) == {one(f=b"old", d__new=b"bytes"), one(f=b"bytes")}
    assert files(*made, SYNC_D) == files(*made)
    assert files(*made, SYNC_ROOT) == {one(f=b"bytes")}


def test_a_renaming_carries_its_file_along() -> None:
    """Once the new name is synced it does not matter that the old one never was."""
    assert files(MAKE, WRITE, SYNC, Change("rename", "d/new", "f"), SYNC_ROOT) == {one(f=b"bytes")}


def test_a_removal_may_be_undone() -> None:
    """A removed file is restored unless its directory was synced."""
    remove = Change("unlink", "f")
    assert files(remove) == {one(), one(f=b"old")}
    assert files(remove, SYNC_ROOT) == {one()}


def test_a_link_is_the_same_file() -> None:
    """Bytes are synced under any name of a file."""
    link = Change("link", "d/new", "d/other")
    sync = Change("sync", "d/other", inode=9)
    assert files(MAKE, WRITE, link, sync, SYNC_D) == {one(f=b"old", d__new=b"bytes", d__other=b"bytes")}


def test_writes_are_lost_and_torn_each_for_itself() -> None:
    """Of two writes either may be there; of one longer than a block, parts may; what was not written stays."""
    two = [Change("write", "f", offset=offset, data=b"X", inode=3) for offset in (0, 2)]
    assert files(*two) == {one(f=f) for f in (b"old", b"Xld", b"olX", b"XlX")}
    long = Change("write", "f", offset=1, data=b"X" * 1000, inode=3)
    found = {dict(each)["f"] for each in files(long)}
    assert b"o" + b"X" * 511 in found
    assert b"old" + bytes(509) + b"X" * 489 in found
    assert all(content is not None and content[0:1] == b"o" for content in found)


def test_a_directory_that_was_not_synced_takes_all_with_it() -> None:
    """A synced file in a directory whose own name is not synced may be gone."""
    made = [Change("mkdir", "d/e", inode=8), Change("create", "d/e/new", inode=9)]
    synced = [Change("sync", "d/e/new", inode=9), Change("sync directory", "d/e")]
    assert files(*made, *synced) == {one(f=b"old"), one(f=b"old", d__e__new=b"")}
    assert files(*made, *synced, SYNC_D) == {one(f=b"old", d__e__new=b"")}


def test_many_changes_are_sampled() -> None:
    """Too many combinations are not all tried, but all kept and all lost are among those that are."""
    writes = [Change("write", "f", offset=3 + number, data=b"X", inode=3) for number in range(20)]
    found = files(*writes)
    assert one(f=b"old") in found
    assert one(f=b"old" + b"X" * 20) in found
