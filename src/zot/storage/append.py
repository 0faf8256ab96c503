"""The course of an append, the same for every driver: collect, write while the next bytes come, record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from zot.storage.interface import Checkpoint, Progress
from zot.storage.pools import settled

PIECE_BYTES = 1024 * 1024
# Small chunks cost more memory than their bytes; also the most buffers that one pwritev takes.
PIECE_CHUNKS = 1024
CHECKPOINT_BYTES = 64 * 1024 * 1024


class Target(Protocol):
    """Staged bytes that grow."""

    @property
    def progress(self) -> Progress:
        """How far it got."""

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Add the chunks; `progress` moves when all are written, and not at all if this raises."""


async def append_body(target: Target, body: AsyncIterator[bytes], checkpoint: Checkpoint) -> Progress:
    """Add the body to the target and return how far it got, by the law of `Storage.append`.

    Of the body, one piece is being written and one collected: 2 MiB, and what the iterator itself holds.
    """
    writer = _Writer(target)
    standing = True

    async def record() -> None:
        nonlocal standing
        standing = False  # what a checkpoint raises is final
        await checkpoint(target.progress)
        standing = True

    recorded = target.progress.offset
    try:
        async for chunk in body:
            await writer.add(chunk)
            if target.progress.offset - recorded >= CHECKPOINT_BYTES:
                await writer.settle()
                recorded = target.progress.offset
                await record()
        await writer.flush()
    except BaseException as breaking:
        if standing:
            try:
                await writer.flush()
                await record()
            except Exception as later:  # noqa: BLE001 - told with the error that is going on anyway
                breaking.add_note(f"then, keeping what had come: {later!r}")
        else:
            await writer.settle()
        raise
    await record()
    return target.progress


class _Writer:
    """Collects chunks to pieces, and writes one piece while it collects the next."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._chunks: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    async def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= PIECE_BYTES or len(self._chunks) >= PIECE_CHUNKS:
            await self.settle()
            chunks, self._chunks, self._size = self._chunks, [], 0
            self._writing = asyncio.ensure_future(self._target.write(chunks))

    async def settle(self) -> None:
        """Wait for what is being written. If that fails, nothing that came after it will be written."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            await settled(writing)
        except BaseException:
            if writing.cancelled() or writing.exception() is not None:
                self._chunks.clear()
            raise

    async def flush(self) -> None:
        """Write all that was collected."""
        await self.settle()
        chunks, self._chunks, self._size = self._chunks, [], 0
        if chunks:
            self._writing = asyncio.ensure_future(self._target.write(chunks))
            await self.settle()
