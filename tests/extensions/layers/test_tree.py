"""The tree of an image is what unpacking its layers one after the other gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extensions.layers.archives import archive, chunks, directory, entry, files, link
from zot.extensions.layers import tree
from zot.extensions.layers.database import ListsDatabase
from zot.extensions.layers.interface import IMPLIED_MODE, LayerFile, LayerFileKind, LayerList, ListStatus
from zot.extensions.layers.tar_list import TarList
from zot.oci.digest import Digest
from zot.oci.names import Repository

ROWS = 1000


@contextmanager
def lists(*layers: list[LayerFile]) -> Iterator[tuple[apsw.Connection, list[tree.Stack]]]:
    """A file with the list of each layer; each is the stack of one layer."""
    with TemporaryDirectory() as folder:
        database = ListsDatabase(Path(folder, "layers.db"))
        digests = [Digest(f"sha256:{number:064x}") for number in range(len(layers))]
        database.lists(Repository("r"), digests)
        for files_of in layers:
            wanted = database.next_wanted(frozenset())
            assert wanted is not None
            database.add(wanted, files_of)
            database.end(wanted, LayerList(wanted.digest, ListStatus.MADE))
        with database.connected() as connection:
            yield connection, [tree.stack_of(connection, [each]) for each in digests]


def above(stacks: Sequence[tree.Stack]) -> tree.Stack:
    """Return the stack of several layers of one list each."""
    return {number: layer for layer, stack in enumerate(stacks) for number in stack}


def listed(layer: bytes) -> list[LayerFile]:
    """Return the list of an archive."""
    return list(TarList(chunks(layer)).files())


# --- against a model ---

Spec = dict[str, "Spec | str | None"]
"""What a layer has in a directory: directories, files with content, None for a whiteout, `*` for opaque.

A directory with `?` is in paths only.
"""

MARKS = {"*", "?"}
NAMES = st.sampled_from(["a", "b", "a.c", "A"])
LAYERS = st.recursive(
    st.dictionaries(NAMES, st.sampled_from(["1", "2", None]), max_size=3),
    lambda inner: st.dictionaries(NAMES | st.sampled_from("*?"), inner | st.sampled_from(["1", "2", None]), max_size=3),
    max_leaves=8,
)


def spelled(spec: Spec, path: bytes = b"") -> Iterator[LayerFile]:
    """Yield the list of a layer."""
    if "*" in spec:
        yield LayerFile(path, LayerFileKind.OPAQUE)
    for name, what in spec.items():
        below = path + b"/" + name.encode() if path else name.encode()
        if name in MARKS:
            continue
        if what is None:
            yield LayerFile(below, LayerFileKind.WHITEOUT)
        elif isinstance(what, str):
            yield LayerFile(below, LayerFileKind.FILE, len(what), sha256=what.encode())
        else:
            yield LayerFile(below, LayerFileKind.DIRECTORY, mode=IMPLIED_MODE if "?" in what else 0o755)
            yield from spelled(what, below)


def unpack(root: Spec, spec: Spec) -> None:
    """Unpack a layer: whiteouts are for what was there before, then its own files are added."""
    if "*" in spec:
        root.clear()
    for name, what in spec.items():
        if what is None and name not in MARKS:
            root.pop(name, None)
    for name, what in spec.items():
        if isinstance(what, str) and name not in MARKS:
            root[name] = what
        elif isinstance(what, dict) and name not in MARKS:
            before = root.get(name)
            below: Spec = before if isinstance(before, dict) else {"?": None}
            named_before = "?" not in below
            unpack(below, what)
            below.pop("?", None)
            if "?" in what and not named_before:
                below["?"] = None
            root[name] = below


def unpacked(layers: Sequence[Spec]) -> dict[bytes, LayerFile]:
    """Return what an image has at each path."""
    root: Spec = {}
    for each in layers:
        unpack(root, each)
    return {each.path: each for each in spelled(root)}


def shown(connection: apsw.Connection, stack: tree.Stack, path: bytes = b"") -> Iterator[LayerFile]:
    """Walk through the directories of an image as a visitor does."""
    page = tree.directory(connection, stack, path, 0, ROWS)
    assert page is not None
    assert page.total == len(page.rows)
    for each in page.rows:
        yield each.file
        if each.file.kind is LayerFileKind.DIRECTORY:
            yield from shown(connection, stack, each.file.path)


@settings(max_examples=40)
@given(st.lists(LAYERS, min_size=2, max_size=4))
def test_an_image_shows_what_unpacking_its_layers_gives(layers: list[Spec]) -> None:
    expected = unpacked(layers)
    with lists(*(list(spelled(each)) for each in layers)) as (connection, stacks):
        stack = above(stacks)
        assert {each.path: each for each in shown(connection, stack)} == expected
        everything = {each.path for layer in layers for each in spelled(layer)}
        for path in everything - {b""}:
            found = tree.file(connection, stack, path)
            assert (found.file if found else None) == expected.get(path)
        visible = {}
        for each in tree.find(connection, stack, b"", 0, ROWS).rows:
            if each.hidden_by is None and each.file.kind is not LayerFileKind.WHITEOUT:
                visible[each.file.path] = each.file
            else:
                assert each.hidden_by is None or each.hidden_by > each.layer
        assert visible == {path: each for path, each in expected.items() if each.mode != IMPLIED_MODE}


@settings(max_examples=40)
@given(st.lists(LAYERS, max_size=2), st.lists(LAYERS, max_size=2), st.lists(LAYERS, max_size=2))
def test_a_comparison_is_the_difference_of_what_is_unpacked(
    shared: list[Spec], ones: list[Spec], others: list[Spec]
) -> None:
    before, after = unpacked([*shared, *ones]), unpacked([*shared, *others])
    with lists(*(list(spelled(each)) for each in (*shared, *ones, *others))) as (connection, stacks):
        base, split = stacks[: len(shared)], len(shared) + len(ones)
        one, other = above([*base, *stacks[len(shared) : split]]), above([*base, *stacks[split:]])
        found, partial = tree.changes(connection, one, other)
    assert not partial
    assert [each.path for each in found] == sorted((each.path for each in found), key=lambda path: path.split(b"/"))
    assert {each.path: (each.before, each.after) for each in found} == {
        path: (before.get(path), after.get(path))
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }


# --- single laws ---


def test_one_layer_shows_what_it_deletes() -> None:
    layer = archive(entry("d/.wh.gone"), entry("d/kept", b"x"), entry("d/.wh..wh..opq"))
    with lists(listed(layer)) as (connection, (stack,)):
        page = tree.directory(connection, stack, b"d", 0, ROWS)
    assert page is not None
    assert [(each.file.path, each.file.kind) for each in page.rows] == [
        (b"d", LayerFileKind.OPAQUE),
        (b"d/gone", LayerFileKind.WHITEOUT),
        (b"d/kept", LayerFileKind.FILE),
    ]


def test_a_file_that_is_deleted_and_added_in_one_layer_is_there() -> None:
    with lists(listed(files(a="1")), listed(archive(entry(".wh.a"), entry("a", b"22")))) as (connection, stacks):
        found = tree.file(connection, above(stacks), b"a")
    assert found is not None
    assert (found.layer, found.file.size) == (1, 2)


def test_the_last_of_a_path_counts() -> None:
    layer = archive(entry("d/a", b"1"), directory("d"), entry("d/a", b"22"), link("d/b", "a"), entry("d/b", b"333"))
    with lists(listed(layer)) as (connection, (stack,)):
        page = tree.directory(connection, stack, b"d", 0, ROWS)
        found = tree.file(connection, stack, b"d")
    assert page is not None
    assert [(each.file.kind, each.file.size) for each in page.rows] == [
        (LayerFileKind.FILE, 2),
        (LayerFileKind.FILE, 3),
    ]
    assert found is not None
    assert found.file.mode == 0o755


def test_a_layer_that_is_there_twice_counts_once() -> None:
    with lists(listed(files(a="1")), listed(archive(entry(".wh.a")))) as (connection, _):
        digests = [Digest(f"sha256:{number:064x}") for number in (0, 1, 0)]
        stack = tree.stack_of(connection, digests)
        found = tree.file(connection, stack, b"a")
    assert found is not None
    assert found.layer == 2


def test_a_directory_is_shown_in_pages() -> None:
    with lists(listed(archive(*(entry(f"{each:03}") for each in range(120))))) as (connection, (stack,)):
        page = tree.directory(connection, stack, b"", 100, 50)
    assert page is not None
    assert (page.total, page.rows[0].file.path) == (120, b"100")
    assert len(page.rows) == 20


@pytest.mark.parametrize("path", [b"none", b"file", b"file/x", b"d/none"])
def test_what_is_no_directory_is_none(path: bytes) -> None:
    with lists(listed(files(file="x", d_x="x"))) as (connection, (stack,)):
        assert tree.directory(connection, stack, path, 0, ROWS) is None


def test_a_search_finds_any_case_and_any_bytes() -> None:
    layer = archive(entry("Usr/LIB/x\udcff.so", b"1"), entry("other", b"2"))
    with lists(listed(layer)) as (connection, (stack,)):
        for text in (b"lib/X", b"\xff", b".SO"):
            assert [each.file.path for each in tree.find(connection, stack, text, 0, ROWS).rows][
                -1
            ] == b"Usr/LIB/x\xff.so"
        assert tree.find(connection, stack, b"%", 0, ROWS).rows == ()


def test_a_search_ends_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    with lists(listed(archive(*(entry(f"{each:03}") for each in range(300))))) as (connection, (stack,)):
        monkeypatch.setattr(tree, "FOUND_LIMIT", 100)
        page = tree.find(connection, stack, b"", 90, 50)
        assert (page.total, len(page.rows), page.partial) == (100, 10, True)
        monkeypatch.setattr(tree, "_SEARCH_STEPS", 100)
        monkeypatch.setattr(tree, "_SEARCH_ROUNDS", 2)
        assert tree.find(connection, stack, b"no such file", 0, 50).partial


def test_a_comparison_ends_at_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    many = listed(archive(*(entry(f"{each:03}") for each in range(300))))
    with lists(many, []) as (connection, (one, other)):
        monkeypatch.setattr(tree, "CHANGES_LIMIT", 100)
        found, partial = tree.changes(connection, one, other)
        assert (len(found), partial) == (100, True)
        monkeypatch.setattr(tree, "COMPARED_LIMIT", 50)
        found, partial = tree.changes(connection, one, other)
        assert (len(found) <= 51, partial) == (True, True)
