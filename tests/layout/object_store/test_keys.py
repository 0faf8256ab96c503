"""Layouts among the keys of a list."""

from __future__ import annotations

import random

import pytest

from zot.layout.object_store.keys import LayoutKeys
from zot.oci.names import Repository
from zot.registry.unimported import Unserved


def found(*keys: str) -> list[Repository | Unserved]:
    """Return what is found among keys, which a list gives in byte order."""
    layouts = LayoutKeys("s3://bucket/zot")
    return [each for key in sorted(keys, key=str.encode) for each in layouts.feed(key)] + list(layouts.finish())


def layout(*paths: str) -> list[str]:
    """Return the keys of layouts with some content."""
    names = ("blobs/sha256/0", "index.json", "oci-layout", ".uploads/x")
    return [f"{path}/{name}" for path in paths for name in names]


def test_layouts_are_found_beside_and_within_each_other() -> None:
    """Nested layouts, and names that sort between another one's own keys, are found once each."""
    names = ["a", "a/b", "a/k", "a/p/q", "a-b", "a.b", "a/i/index", "z/y/x/w"]
    assert sorted(map(str, found(*layout(*names)))) == sorted(names)


def test_half_a_layout_is_none() -> None:
    """A layout has both of its own objects; content alone, and other objects of such names, are none."""
    keys = ["a/index.json", "b/oci-layout", "c/blobs/sha256/0", "index.json", "oci-layout", "d/x-index.json"]
    keys += ["d/oci-layout", "e/index.json", "e/f/oci-layout"]
    assert found(*keys) == []


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("app/blobs", "it lies within the layout app"),
        ("app/blobs/sha256/x", "it lies within the layout app"),
        ("app/index.json/x", "it lies within the layout app"),
        ("Upper", "'Upper' is not a repository name"),
        ("app/Upper", "'app/Upper' is not a repository name"),
    ],
)
def test_what_cannot_be_served_is_told(path: str, why: str) -> None:
    """A layout within another one's own keys, or without a valid name, is told with its place."""
    assert set(found(*layout("app", path))) == {"app", Unserved(f"s3://bucket/zot/{path}", why)}


@pytest.mark.parametrize("path", [".zot/x", "_trivy", "app/.sync/x", "Upper/below", "a//b"])
def test_what_is_of_programs_is_skipped(path: str) -> None:
    """Neither what programs keep for themselves nor what is below a name that is invalid is told."""
    assert found(*layout("app", path)) == ["app"]


def test_names_like_those_of_a_layouts_files_are_free_elsewhere() -> None:
    """A layout below a directory `blobs` that is no layout's is served, also if one around that is a layout."""
    assert set(found(*layout("free/blobs/x"))) == {"free/blobs/x"}
    nested = found(*layout("a", "a/blobs/b/index.json/c"))
    assert nested == [Unserved("s3://bucket/zot/a/blobs/b/index.json/c", "it lies within the layout a"), "a"]


def test_the_keys_of_much_content_are_not_kept() -> None:
    """Memory does not grow with the number of keys, but with the depth of names."""
    layouts = LayoutKeys("s3://bucket/zot")
    names = [f"team{number:04}/app/blobs/sub{number % 7}" for number in range(2000)]
    random.Random(1).shuffle(names)
    for name in sorted(names):
        for key in sorted(layout(name)):
            for each in layouts.feed(key):
                assert each in names
            assert len(layouts._open) <= 4
