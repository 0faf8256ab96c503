"""The staged bytes of an upload in an object store: chunks of one size, and a shorter last one.

An append writes its chunks under an epoch of its own, so that those of a fenced request are named by no progress and
cut nothing. What a progress needs to find its chunks is its `driver_state`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from uuid import uuid4

import msgspec

from zot.foundation.threads import ThreadPool, settled
from zot.oci.digest import Hash, finished
from zot.oci.names import Repository
from zot.storage.interface import Progress, UploadKey, UploadMissingError
from zot.storage.layout_paths import is_session
from zot.storage.object_store.interface import ObjectMissingError, ObjectPart, ObjectStore

MEMORY_LIMIT_BYTES = 192 * 1024 * 1024
"""Bytes of chunks that all appends of a process hold together."""


class ChunkMemory:
    """The memory budget of the chunks of all appends: beyond it they wait, in their order, and read no more.

    An append that waits must hold nothing, so that those that hold bytes can always complete their chunks.
    """

    def __init__(self, limit_bytes: int = MEMORY_LIMIT_BYTES) -> None:
        """Allow `limit_bytes` in all, and more only to a single append whose chunks are larger."""
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.taken_bytes = 0

    def take_now(self, size: int) -> bool:
        """Take bytes if there are that many, and no append waits; return whether they were taken."""
        if self._waiting or (self.taken_bytes and self.taken_bytes + size > self._limit_bytes):
            return False
        self.taken_bytes += size
        return True

    async def take(self, size: int) -> None:
        """Take bytes once there are that many."""
        if self.take_now(size):
            return
        turn = size, asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn[1]
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
                self.give_back(0)
            else:
                self.give_back(size)
            raise

    def give_back(self, size: int) -> None:
        """Return bytes; appends whose turn it is get theirs."""
        self.taken_bytes -= size
        while self._waiting:
            wanted, turn = self._waiting[0]
            if self.taken_bytes and self.taken_bytes + wanted > self._limit_bytes:
                return
            self._waiting.popleft()
            self.taken_bytes += wanted
            turn.set_result(None)


class ChunkRun(msgspec.Struct, frozen=True, array_like=True):
    """Chunks in a row that one append wrote."""

    epoch: str
    count: int


class StagedState(msgspec.Struct, frozen=True, array_like=True):
    """The chunks of a progress: all have `chunk_bytes` but the last, which has `tail_bytes`."""

    chunk_bytes: int
    runs: tuple[ChunkRun, ...] = ()
    tail_bytes: int = 0

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return sum(run.count for run in self.runs)

    @property
    def size(self) -> int:
        """How many bytes they have."""
        return max(self.count - 1, 0) * self.chunk_bytes + self.tail_bytes

    def appended(self, epoch: str, size: int) -> StagedState:
        """Return the state with one more chunk."""
        *runs, last = self.runs or (ChunkRun(epoch, 0),)
        if last.epoch == epoch:
            runs.append(ChunkRun(epoch, last.count + 1))
        else:
            runs += [last, ChunkRun(epoch, 1)]
        return StagedState(self.chunk_bytes, tuple(runs), size)

    def without_last(self) -> StagedState:
        """Return the state with one chunk less."""
        *runs, last = self.runs
        if last.count > 1:
            runs.append(ChunkRun(last.epoch, last.count - 1))
        return StagedState(self.chunk_bytes, tuple(runs), self.chunk_bytes if runs else 0)


_DECODER = msgspec.msgpack.Decoder(StagedState)


def staged_state(progress: Progress, chunk_bytes: int) -> StagedState:
    """Return the chunks of a progress. Raises UploadMissingError if it does not name as many bytes as it has."""
    if progress.offset == 0 and not progress.driver_state:
        return StagedState(chunk_bytes)
    try:
        state = _DECODER.decode(progress.driver_state)
    except msgspec.MsgspecError:
        raise UploadMissingError("no chunks of the upload are recorded") from None
    if state.size != progress.offset:
        raise UploadMissingError(f"chunks of {state.size} bytes are recorded, of {progress.offset} staged ones")
    return state


def uploads_prefix(repository: Repository) -> str:
    """Return the prefix of all chunks of a repository."""
    return f"{repository}/.uploads/"


def upload_prefix(upload: UploadKey) -> str:
    """Return the prefix of the chunks of an upload. Raises UploadMissingError if no upload can have that session."""
    if not is_session(upload.session):
        raise UploadMissingError(f"{upload.session[:128]!r} is no upload session")
    return f"{upload.repository}/.uploads/{upload.session}/"


def chunks(upload: UploadKey, state: StagedState) -> Iterator[ObjectPart]:
    """Yield the chunks, in order. Each key is written once: an append of another epoch writes other keys."""
    prefix, last, number = upload_prefix(upload), state.count - 1, 0
    for run in state.runs:
        for _ in range(run.count):
            yield ObjectPart(_key(prefix, number, run.epoch), state.tail_bytes if number == last else state.chunk_bytes)
            number += 1


def _key(prefix: str, number: int, epoch: str) -> str:
    return f"{prefix}{number:06}.{epoch}"


class StagedChunks:
    """An upload that is being appended to (`AppendTarget`): collects bytes to chunks, and writes each as an object.

    One chunk is hashed and written while the next is collected, so that two are in memory. Where all appends together
    hold too much, what is collected is written as a short chunk, and taken back once there is memory for a whole one.
    """

    def __init__(
        self,
        objects: ObjectStore,
        pool: ThreadPool,
        upload: UploadKey,
        state: StagedState,
        hashing: tuple[str, Hash | None],
        memory: ChunkMemory,
    ) -> None:
        """Append after `state`; `hashing` is the algorithm, and the hash state of those bytes if it is known."""
        self._upload = upload
        self._memory = memory
        self._taken_bytes = 0
        """How much of the memory budget this append has: at least what it holds and writes."""
        self._writing_bytes = 0
        self._objects = objects
        self._pool = pool
        self._prefix = upload_prefix(upload)
        self._state = state
        self._algorithm, self.hash = hashing
        self._epoch = uuid4().hex[:12]
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._hashed_bytes = 0
        """How many of the held bytes the hash state has already: those of a chunk that was taken back."""
        self._writing: asyncio.Future[None] | None = None

    async def resume(self) -> None:
        """Take the last chunk back if it is a short one: it is written again, with what follows it.

        Raises UploadMissingError, StorageError.
        """
        if not self._has_short_chunk:
            return
        *_, tail = chunks(self._upload, self._state)
        if tail.size > self._taken_bytes:
            await self._take(tail.size - self._taken_bytes)
        try:
            _, held = await self._objects.open(tail.key, tail.size)
        except ObjectMissingError:
            raise UploadMissingError(f"the last chunk of upload {self._upload.session} is gone") from None
        self._state = self._state.without_last()
        self._pieces, self._held_bytes, self._hashed_bytes = [held], tail.size, tail.size

    @property
    def _has_short_chunk(self) -> bool:
        return self._state.count > 0 and self._state.tail_bytes != self._state.chunk_bytes

    @property
    def progress(self) -> Progress:
        """The bytes that are in chunks, with their digest if the hash state is known."""
        prefix = None
        if self.hash is not None and not self._hashed_bytes:
            prefix = finished(self.hash, self._algorithm)
        return Progress(self._state.size, self._algorithm, prefix, msgspec.msgpack.encode(self._state))

    async def write(self, pieces: Sequence[bytes]) -> None:
        """Collect the pieces; begin to write each chunk that is full. Raises StorageError."""
        size = sum(map(len, pieces))
        await self._make_room(size)
        self._pieces += pieces
        self._held_bytes += size
        while self._held_bytes >= self._state.chunk_bytes:
            await self._written()
            self._begin(self._state.chunk_bytes)

    async def _make_room(self, size: int) -> None:
        """Take memory for `size` more bytes; wait for it with nothing held. Raises StorageError."""
        needed = self._held_bytes + self._writing_bytes + size - self._taken_bytes
        if not self._has_short_chunk:
            if needed <= 0:
                return
            if self._memory.take_now(needed):
                self._taken_bytes += needed
                return
        await self._written()
        if self._held_bytes:
            await self.flush()
            # The short chunk is written again under another key: a late request cannot replace the whole one.
            self._epoch = uuid4().hex[:12]
        self._give_back(self._taken_bytes)
        short_bytes = self._state.tail_bytes if self._has_short_chunk else 0
        await self._take(max(self._state.chunk_bytes, short_bytes + size))
        await self.resume()

    async def _take(self, size: int) -> None:
        await self._memory.take(size)
        self._taken_bytes += size

    def _give_back(self, size: int) -> None:
        self._taken_bytes -= size
        self._memory.give_back(size)

    async def flush(self) -> None:
        """Write what is held as the last chunk, so that all of it counts in `progress`. Raises StorageError."""
        await self._written()
        if self._held_bytes or not self._state.count:
            self._begin(self._held_bytes)
            await self._written()

    async def close(self) -> None:
        """Wait for the chunk that is being written; its outcome makes no difference any more."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await asyncio.wait([writing])
            writing.exception()
        self._give_back(self._taken_bytes)

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await settled(writing)

    def _begin(self, size: int) -> None:
        pieces, self._pieces = _split(self._pieces, size)
        self._held_bytes -= size
        self._writing_bytes = size
        self._writing = asyncio.ensure_future(self._write_chunk(pieces, size))

    async def _write_chunk(self, pieces: list[bytes], size: int) -> None:
        hashed = self.hash.copy() if self.hash is not None else None
        skipped = min(self._hashed_bytes, size)
        key = _key(self._prefix, self._state.count, self._epoch)
        hashing = self._pool.complete(_update, hashed, _split(pieces, skipped)[1])
        await asyncio.gather(self._objects.write(key, pieces), hashing)
        self.hash = hashed
        self._hashed_bytes -= skipped
        self._state = self._state.appended(self._epoch, size)
        self._writing_bytes = 0
        self._give_back(size)


def _update(state: Hash | None, pieces: Sequence[bytes]) -> None:
    if state is not None:
        for piece in pieces:
            state.update(piece)


def _split(pieces: list[bytes], size: int) -> tuple[list[bytes], list[bytes]]:
    """Return the first `size` bytes of the pieces, and the others."""
    first: list[bytes] = []
    for number, piece in enumerate(pieces):
        if size < len(piece):
            return [*first, piece[:size]] if size else first, [piece[size:], *pieces[number + 1 :]]
        first.append(piece)
        size -= len(piece)
    assert size == 0, f"{size} bytes fewer are held than are asked for"
    return first, []
