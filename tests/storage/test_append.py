"""Appending a body: the memory that it takes."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from zot.storage.append import PIECE_BYTES, AppendBuffers, append_body
from zot.storage.interface import Progress

CHUNK = bytes(64 * 1024)


class Staged:
    """Staged bytes that record the size of each write."""

    def __init__(self) -> None:
        """Start empty."""
        self.progress = Progress(0, "sha256")
        self.writes: list[int] = []

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Add the chunks."""
        size = sum(map(len, chunks))
        self.writes.append(size)
        self.progress = Progress(self.progress.offset + size, "sha256")

    async def flush(self) -> None:
        """Do nothing: all that was written counts."""


async def nothing(progress: Progress) -> None:
    """Record nothing."""


async def test_stalled_bodies_are_bounded_together() -> None:
    """However many uploads stall with most of a piece sent, together they hold no more than the limit."""
    limit_bytes, count = 10 * len(CHUNK), 200
    collected, go_on, stalled = AppendBuffers(limit_bytes), asyncio.Event(), asyncio.Semaphore(0)
    targets = [Staged() for _ in range(count)]

    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield CHUNK
        stalled.release()
        await go_on.wait()
        yield CHUNK

    appends = [asyncio.create_task(append_body(target, body(), nothing, nothing, collected)) for target in targets]
    for _ in range(count):
        await stalled.acquire()
    assert collected.held_bytes <= limit_bytes
    assert sum(target.progress.offset for target in targets) >= count * 5 * len(CHUNK) - limit_bytes
    go_on.set()
    await asyncio.gather(*appends)
    assert {target.progress.offset for target in targets} == {6 * len(CHUNK)}
    assert collected.held_bytes == 0


async def test_a_single_body_is_written_in_large_pieces() -> None:
    """A body that arrives alone is written in whole pieces."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield CHUNK

    target, collected = Staged(), AppendBuffers()
    await append_body(target, body(), nothing, nothing, collected)
    assert target.writes == [PIECE_BYTES, PIECE_BYTES, 40 * len(CHUNK) - 2 * PIECE_BYTES]
    assert collected.held_bytes == 0


async def test_a_broken_body_holds_nothing() -> None:
    """After an error, too, the memory budget is free again."""

    async def body() -> AsyncIterator[bytes]:
        yield CHUNK
        raise ConnectionResetError

    target, collected = Staged(), AppendBuffers()
    (outcome,) = await asyncio.gather(append_body(target, body(), nothing, nothing, collected), return_exceptions=True)
    assert isinstance(outcome, ConnectionResetError)
    assert target.progress.offset == len(CHUNK)
    assert collected.held_bytes == 0
