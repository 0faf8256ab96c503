"""A full bounded map drops its oldest entries."""

from __future__ import annotations

import pytest

from zot.foundation.bounded_map import BoundedMap


@pytest.fixture
def full() -> BoundedMap[str, int]:
    """A map that is full with three entries."""
    full = BoundedMap[str, int](3)
    full.update(a=1, b=2, c=3)
    return full


def test_a_new_entry_replaces_the_oldest(full: BoundedMap[str, int]) -> None:
    """A map never holds more entries than its limit."""
    full["d"] = 4
    assert dict(full) == {"b": 2, "c": 3, "d": 4}


def test_setting_an_entry_makes_it_the_newest(full: BoundedMap[str, int]) -> None:
    """An entry that is set again is dropped after those set before."""
    full["a"] = 10
    full["d"] = 4
    assert list(full.items()) == [("c", 3), ("a", 10), ("d", 4)]


def test_reading_an_entry_does_not_renew_it(full: BoundedMap[str, int]) -> None:
    """Only `use` makes an entry the newest; other reads do not."""
    assert (full["a"], full.get("a"), "a" in full) == (1, 1, True)
    full["d"] = 4
    assert "a" not in full


def test_using_an_entry_makes_it_the_newest(full: BoundedMap[str, int]) -> None:
    """With `use` the map drops the least recently used entry."""
    assert full.use("a") == 1
    assert full.use("z") is None
    full["d"] = 4
    assert list(full) == ["c", "a", "d"]


def test_removed_entries_do_not_count(full: BoundedMap[str, int]) -> None:
    """Deleted, popped and cleared entries no longer count towards the limit."""
    del full["a"]
    assert full.pop("b") == 2
    full.update(d=4, e=5)
    assert list(full) == ["c", "d", "e"]
    full.clear()
    full["f"] = 6
    assert dict(full) == {"f": 6}
    with pytest.raises(KeyError):
        del full["a"]


def test_the_sum_of_weights_is_bounded() -> None:
    """With weights the limit is on their sum: a heavy entry replaces several light ones."""
    texts = BoundedMap[str, bytes](10, weigh=len)
    texts.update(a=b"123", b=b"1234", c=b"123")
    texts["a"] = b"1"
    assert list(texts) == ["b", "c", "a"]
    texts["d"] = b"123456"
    assert list(texts) == ["c", "a", "d"]


def test_an_entry_heavier_than_the_limit_is_not_kept() -> None:
    """An entry above the limit is not stored, and does not disturb later ones."""
    texts = BoundedMap[str, bytes](10, weigh=len)
    texts["a"] = b"12345678901"
    assert len(texts) == 0
    texts["b"] = b"1234567890"
    assert dict(texts) == {"b": b"1234567890"}
