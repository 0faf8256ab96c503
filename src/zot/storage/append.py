"""Append a request body to staged bytes, the same way for every driver.

Chunks are collected to pieces; one piece is written while the next is collected; progress is recorded by checkpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from zot.foundation.threads import settled
from zot.storage.interface import Checkpoint, Progress

PIECE_BYTES = 1024 * 1024
# Small chunks cost more memory than their bytes; also the most buffers that one pwritev takes.
PIECE_CHUNKS = 1024
CHECKPOINT_BYTES = 64 * 1024 * 1024
COLLECTED_LIMIT_BYTES = 64 * 1024 * 1024
"""Bytes that all appends to a store hold together; beyond that each chunk is written at once."""


class AppendTarget(Protocol):
    """Staged bytes that grow."""

    @property
    def progress(self) -> Progress:
        """The bytes that are staged."""

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Add the chunks. `progress` advances when all are written, and not at all if this raises.

        A target that stages larger pieces holds some of them back.
        """

    async def flush(self) -> None:
        """Have all that was added count in `progress`."""


class AppendBuffers:
    """The memory budget of all appends to one store, so that many slow uploads are bounded together."""

    def __init__(self, limit_bytes: int = COLLECTED_LIMIT_BYTES) -> None:
        """Allow `limit_bytes` in all, and beyond that one chunk of each append."""
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    @property
    def full(self) -> bool:
        """Whether no more chunks should be collected."""
        return self.held_bytes >= self._limit_bytes


async def append_body(
    target: AppendTarget, body: AsyncIterator[bytes], checkpoint: Checkpoint, last: Checkpoint, collected: AppendBuffers
) -> Progress:
    """Add the body to the target and return its progress, as `Storage.append` states.

    At most 2 MiB of the body are held, one piece being written and one being collected; less while the store's appends
    together reach their limit.
    """
    writer = _Writer(target, collected)
    try:
        return await _append_body(target, body, checkpoint, last, writer)
    finally:
        writer.release()


async def _append_body(
    target: AppendTarget, body: AsyncIterator[bytes], checkpoint: Checkpoint, last: Checkpoint, writer: _Writer
) -> Progress:
    may_write = True

    async def record() -> None:
        nonlocal may_write
        may_write = False  # an exception of a checkpoint is final
        await checkpoint(target.progress)
        may_write = True

    recorded = target.progress.offset
    try:
        async for chunk in body:
            await writer.add(chunk)
            if target.progress.offset - recorded >= CHECKPOINT_BYTES:
                await writer.settle()
                recorded = target.progress.offset
                await record()
        await writer.flush()
        await target.flush()
    except BaseException as breaking:
        if may_write:
            try:
                await writer.flush()
                await target.flush()
                await record()
            except Exception as later:  # noqa: BLE001 - added to the exception that is raised anyway
                breaking.add_note(f"recording the received bytes failed, too: {later!r}")
        else:
            await writer.settle()
        raise
    progress = target.progress
    await last(progress)
    return progress


class _Writer:
    """Collects chunks to pieces and writes one piece while it collects the next."""

    def __init__(self, target: AppendTarget, collected: AppendBuffers) -> None:
        self._target = target
        self._collected = collected
        self._held_bytes = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    async def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._hold(len(chunk))
        if self._size >= PIECE_BYTES or len(self._chunks) >= PIECE_CHUNKS or self._collected.full:
            await self.settle()
            self._write()
            if self._collected.full:
                await self.settle()

    def release(self) -> None:
        """Return this append's bytes to the memory budget."""
        self._hold(-self._held_bytes)

    def _hold(self, length: int) -> None:
        self._held_bytes += length
        self._collected.held_bytes += length

    def _write(self) -> None:
        chunks, size, self._chunks, self._size = self._chunks, self._size, [], 0

        async def write() -> None:
            await self._target.write(chunks)
            self._hold(-size)

        self._writing = asyncio.ensure_future(write())

    async def settle(self) -> None:
        """Wait for the piece being written. If that fails, no later chunk is written."""
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
        """Write all collected chunks."""
        await self.settle()
        if self._chunks:
            self._write()
            await self.settle()
