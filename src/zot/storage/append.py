"""The course of an append, the same for every driver: collect, write while the next bytes come, record."""

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
"""Bytes that all appends to a store hold together; beyond it each chunk is written as it comes."""


class AppendTarget(Protocol):
    """Staged bytes that grow."""

    @property
    def progress(self) -> Progress:
        """How far it got."""

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Add the chunks; `progress` moves when all are written, and not at all if this raises."""


class AppendBuffers:
    """How much the appends to one store hold: many slow uploads, each with most of a piece, are bounded together."""

    def __init__(self, limit_bytes: int = COLLECTED_LIMIT_BYTES) -> None:
        """Hold at most `limit_bytes`, and a chunk of each append beyond it."""
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    @property
    def full(self) -> bool:
        """Whether nothing more should be collected."""
        return self.held_bytes >= self._limit_bytes


async def append_body(
    target: AppendTarget, body: AsyncIterator[bytes], checkpoint: Checkpoint, collected: AppendBuffers
) -> Progress:
    """Add the body to the target and return how far it got, by the law of `Storage.append`.

    Of the body, one piece is being written and one collected: 2 MiB, and what the iterator itself holds; less while
    the store's appends hold too much together.
    """
    writer = _Writer(target, collected)
    try:
        return await _append_body(target, body, checkpoint, writer)
    finally:
        writer.release()


async def _append_body(
    target: AppendTarget, body: AsyncIterator[bytes], checkpoint: Checkpoint, writer: _Writer
) -> Progress:
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
        """Count nothing more of this append."""
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
        if self._chunks:
            self._write()
            await self.settle()
