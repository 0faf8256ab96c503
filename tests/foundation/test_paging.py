"""Paginated lists are read to their end, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from zot.foundation.paging import pages, rows


async def read(after: int) -> Sequence[int]:
    """Return at most three of the numbers from 1 to 7 that follow `after`."""
    return [number for number in range(1, 8) if number > after][:3]


async def test_all_pages_are_read() -> None:
    """Each page begins after the last row of the page before; the first empty page ends the list."""
    assert [page async for page in pages(read, lambda row: row, 0)] == [[1, 2, 3], [4, 5, 6], [7]]
    assert [page async for page in pages(read, lambda row: row, 7)] == []


async def test_a_page_of_fewer_rows_is_the_last() -> None:
    """Nothing is read after it where the size of a page is known."""
    reads: list[int] = []

    async def counted(after: int) -> Sequence[int]:
        reads.append(after)
        return await read(after)

    assert [page async for page in pages(counted, lambda row: row, 0, 3)] == [[1, 2, 3], [4, 5, 6], [7]]
    assert [row async for row in rows(counted, lambda row: row, 4, 3)] == [5, 6, 7]
    assert reads == [0, 3, 6, 4, 7]


async def test_rows_are_read_one_by_one() -> None:
    """Rows keep the order of the list, from the start position on."""
    assert [row async for row in rows(read, lambda row: row, 2)] == [3, 4, 5, 6, 7]


async def test_other_tasks_run_between_pages() -> None:
    """A list whose reads never wait does not block the event loop."""
    pages_read: list[Sequence[int]] = []
    read_before: list[int] = []

    async def other() -> None:
        read_before.append(len(pages_read))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(other())
        async for page in pages(read, lambda row: row, 0):
            pages_read.append(page)  # noqa: PERF401 - the other task looks at the list
    assert read_before == [1]


async def test_an_error_of_a_read_reaches_the_caller() -> None:
    """An error of `read` is raised by the iteration."""

    async def broken(after: int) -> Sequence[int]:
        raise OSError(after)

    with pytest.raises(OSError, match="5"):
        await anext(rows(broken, lambda row: row, 5))
