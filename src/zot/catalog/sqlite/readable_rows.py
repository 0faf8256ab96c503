"""The rows of a damaged table that can be read: all but those on pages that are not whole.

A scan ends at the first bad page. So the table is read from both ends, and between them by seeking to keys in the
middle, recursively.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import apsw

Value = int | float | bytes | str | None
Key = tuple[Value, ...]
Row = tuple[Value, ...]

# Seeks between two keys: 2 ** _DEPTH at most, each some microseconds.
_DEPTH = 12
_TEXT_BYTES = 80
_LARGEST_ID = 1 << 26


class DamagedTable(NamedTuple):
    """A table, or an index that has all of the columns (`source` names it), by its key."""

    source: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    numeric: frozenset[str] = frozenset()
    """The columns of the key that are positive numbers; the others are text."""


class ReadableRows:
    """Reads one table of a damaged database."""

    def __init__(self, connection: apsw.Connection, table: DamagedTable) -> None:
        """Read by a connection whose caller keeps all others from writing."""
        self._connection = connection
        self._table = table
        self._columns = ", ".join((*table.key, *table.columns))
        self.gaps = 0
        """How many ranges of rows could not be read."""
        self._reached: Key | None = None
        self._complete = False

    def _is_complete(self) -> bool:
        """Tell whether the last scan came to its end."""
        return self._complete

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows, columns in the order of `Table`: the key first. Some may come twice."""
        low, high = self._lowest(), self._highest()
        yield from self._scan(low, high, forward=True)
        if self._is_complete():
            return
        low = self._reached or low
        yield from self._scan(high, low, forward=False)
        if self._is_complete():
            return
        high = self._reached or high
        self.gaps += 1
        yield from self._between(low, high, _DEPTH)

    def _between(self, low: Key, high: Key, depth: int) -> Iterator[Row]:
        """Iterate over the rows between two keys next to which nothing can be read."""
        middle = _middle(low, high) if depth else None
        if middle is None:
            return
        yield from self._scan(middle, high, forward=True)
        upper = None if self._is_complete() else self._reached or middle
        yield from self._scan(middle, low, forward=False)
        lower = None if self._is_complete() else self._reached or middle
        if upper is not None:
            yield from self._between(upper, high, depth - 1)
        if lower is not None:
            yield from self._between(low, lower, depth - 1)

    def _scan(self, start: Key, end: Key, *, forward: bool) -> Iterator[Row]:
        """Iterate from one key towards another, until a page is bad.

        Afterwards `_reached` is the last key that was read, None if there was none.
        """
        self._reached = None
        self._complete = False
        key = self._table.key
        names, marks = ", ".join(key), ", ".join("?" * len(key))
        order = ", ".join(each if forward else f"{each} DESC" for each in key)
        bounds = (f"({names}) >= ({marks})", f"({names}) <= ({marks})")
        first, last = bounds if forward else reversed(bounds)
        query = f"SELECT {self._columns} FROM {self._table.source} WHERE {first} AND {last} ORDER BY {order}"  # noqa: S608 (names of the schema)
        try:
            for row in self._connection.execute(query, (*start, *end)):
                self._reached = row[: len(key)]
                yield row
        except apsw.Error:
            return
        self._complete = True

    def _lowest(self) -> Key:
        return tuple(0 if name in self._table.numeric else "" for name in self._table.key)

    def _highest(self) -> Key:
        # Behind every character that a name has.
        return tuple(_LARGEST_ID if name in self._table.numeric else "\x7f" for name in self._table.key)


def _middle(low: Key, high: Key) -> Key | None:
    """Return a key between two others, None if there is none."""
    for number, (one, other) in enumerate(zip(low, high, strict=True)):
        if one == other:
            continue
        if isinstance(one, int) and isinstance(other, int):
            found: Value = (one + other) // 2
        else:
            found = _middle_text(str(one), str(other))
        rest: Key = tuple(0 if isinstance(each, int) else "" for each in low[number + 1 :])
        if found in {one, other}:  # they are neighbours: what is between them begins with the higher one
            return (*low[:number], other, *rest) if rest and any(high[number + 1 :]) else None
        return (*low[:number], found, *rest)
    return None


def _middle_text(low: str, high: str) -> str:
    """Return a text of ASCII between two others, as if both were fractions."""

    def number(text: str) -> int:
        return int.from_bytes(text.encode("ascii", "replace")[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0"), "big")

    middle = (number(low) + number(high)) // 2
    digits = middle.to_bytes(_TEXT_BYTES, "big").rstrip(b"\0")
    return bytes(min(each, 0x7E) for each in digits).decode("ascii")
