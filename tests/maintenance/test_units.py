"""Numbers as operators read them."""

from __future__ import annotations

import pytest

from zot.maintenance.units import elapsed, size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_500_000, "1.4 MiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 50, "3072.0 TiB"),
    ],
)
def test_sizes_have_the_largest_unit_that_is_not_greater(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "less than a second"), (1, "1 second"), (119, "1 minute"), (7200, "2 hours"), (86400 * 3.5, "3 days")],
)
def test_spans_have_their_largest_whole_unit(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text
