"""Byte ranges select exactly the requested bytes, in every syntax that clients use."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zot.oci.ranges import RANGES_LIMIT, ByteRange, UnsatisfiableRangeError, parse_chunk_range, parse_ranges

SIZES = st.integers(0, 40)
NUMBERS = st.integers(0, 50)
SPECS = (
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: f"{min(pair)}-{max(pair)}")
    | NUMBERS.map(lambda first: f"{first}-")
    | NUMBERS.map(lambda length: f"-{length}")
)


def requested_bytes(spec: str, size: int) -> set[int]:
    """Return the positions of the bytes in one range (RFC 9110, 14.1.2)."""
    first, last = spec.split("-")
    if not first:
        return set(range(size)[max(0, size - int(last)) :])
    return {each for each in range(size) if each >= int(first) and (not last or each <= int(last))}


@given(st.lists(SPECS, min_size=1, max_size=60), SIZES)
def test_ranges_are_the_requested_bytes(specs: list[str], size: int) -> None:
    """The ranges are sorted and disjoint, and hold exactly the requested bytes that exist."""
    requested = set().union(*(requested_bytes(each, size) for each in specs))
    header = "bytes=" + ", ".join(specs)
    if not requested:
        with pytest.raises(UnsatisfiableRangeError):
            parse_ranges(header, size)
        return
    found = parse_ranges(header, size)
    assert found is not None
    assert {each for part in found for each in range(part.start, part.stop)} == requested
    for before, after in pairwise(found):
        assert before.stop < after.start
    assert sum(part.length for part in found) == len(requested)


@given(st.text(max_size=60) | st.text("bytes=0123456789-, ", max_size=30).map("bytes=".__add__), SIZES)
@example("bytes=" + "0-0," * 1025, 10)
@example("bytes=" + "9" * 30 + "-", 10)
@example("bytes=\N{ARABIC-INDIC DIGIT ZERO}-", 10)
@example("bytes=0-1,,2-3", 10)
def test_any_header_is_ignored_refused_or_within_the_content(header: str, size: int) -> None:
    """For any header all ranges lie within the content, and only UnsatisfiableRangeError is raised."""
    try:
        found = parse_ranges(header, size)
    except UnsatisfiableRangeError:
        return
    if found is None:
        assert header.partition("=")[0].strip().lower() != "bytes" or header.count(",") >= RANGES_LIMIT
    else:
        assert all(0 <= part.start < part.stop <= size for part in found)
        assert len(found) <= RANGES_LIMIT


def test_another_unit_is_ignored() -> None:
    """A range in another unit is ignored and the whole content sent (RFC 9110, 14.2)."""
    assert parse_ranges("pages=1-2", 10) is None


@pytest.mark.parametrize(
    "header", ["bytes", "bytes=", "bytes=,", "bytes=-", "bytes=3-2", "bytes=a-b", "bytes=1", "bytes=+1-2"]
)
def test_malformed_ranges_are_refused(header: str) -> None:
    """An empty range, a sign, a letter or an end before the start is an UnsatisfiableRangeError."""
    with pytest.raises(UnsatisfiableRangeError):
        parse_ranges(header, 10)


def test_empty_elements_are_ignored() -> None:
    """A list of ranges may have empty elements, as every list in a header (RFC 9110, 5.6.1)."""
    assert parse_ranges("bytes=, 0-1,,3-3 ,", 10) == [ByteRange(0, 2), ByteRange(3, 4)]


def test_content_range_is_inclusive() -> None:
    """Content-Range names the first and the last byte."""
    assert ByteRange(2, 5).content_range(10) == "bytes 2-4/10"


@given(NUMBERS, NUMBERS, st.sampled_from(["{}-{}", "bytes {}-{}/*", "bytes={}-{}", "bytes {}-{}/99", " {}-{} "]))
def test_chunk_ranges_are_parsed_in_all_forms(first: int, last: int, form: str) -> None:
    """All forms of a chunk's Content-Range have the same result; n-(n-1) is an empty chunk."""
    header = form.format(first, last)
    if last < first - 1:
        with pytest.raises(ValueError, match="ends before it starts"):
            parse_chunk_range(header)
    else:
        assert parse_chunk_range(header) == ByteRange(first, last + 1)


@pytest.mark.parametrize(
    "header", ["", "-", "5", "5-", "-5", "a-b", "1-2-3", "bytes */10", "1" * 20 + "-2", "\N{ARABIC-INDIC DIGIT ZERO}-1"]
)
def test_other_text_is_not_a_chunk_range(header: str) -> None:
    """A chunk's Content-Range without two numbers is a ValueError."""
    with pytest.raises(ValueError, match="is not <first>-<last>"):
        parse_chunk_range(header)
