"""Manifest bytes in memory: bounded, and never other bytes than were put there."""

from hypothesis import given
from hypothesis import strategies as st

from zot.oci.digest import digest_of
from zot.registry.content_cache import ContentCache

CONTENTS = st.binary(min_size=1, max_size=40)


@given(st.lists(st.tuples(st.booleans(), CONTENTS), max_size=40), st.integers(1, 100), st.integers(1, 50))
def test_it_is_bounded_and_gives_what_was_put(steps: list[tuple[bool, bytes]], limit: int, entry_limit: int) -> None:
    """However it is used, it holds no more than its bound, nothing too large, and by each digest its content."""
    cache = ContentCache(limit, entry_limit)
    put: dict[str, bytes] = {}
    for is_put, content in steps:
        digest = digest_of(content)
        if is_put:
            cache.put(digest, content)
            put[digest] = content
        else:
            assert cache.get(digest) in (None, put.get(digest))
    held = [content for content in put.values() if cache.get(digest_of(content)) == content]
    assert len(held) == sum(cache.get(digest_of(content)) is not None for content in put.values())
    assert sum(map(len, held)) <= limit
    assert all(len(content) <= entry_limit for content in held)


def test_what_was_used_last_stays() -> None:
    """The least recently used content goes first."""
    cache = ContentCache(limit_bytes=3)
    one, two, three, four = (digest_of(content) for content in (b"1", b"2", b"3", b"4"))
    for digest, content in ((one, b"1"), (two, b"2"), (three, b"3")):
        cache.put(digest, content)
    assert cache.get(one) == b"1"
    cache.put(four, b"4")
    assert [cache.get(digest) for digest in (one, two, three, four)] == [b"1", None, b"3", b"4"]
