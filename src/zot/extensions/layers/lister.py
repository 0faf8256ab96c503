"""Makes the lists that were asked for, in the one process that works in the background.

Each is made by a process of its own (`list_process.py`), which gets the layer's bytes through a pipe from whatever
storage has them, and is killed when it takes too long or says what is no list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from pathlib import Path

import msgspec

from zot.catalog.interface import CatalogError
from zot.extensions.layers.database import ListsDatabase, WantedList, demand_pipe
from zot.extensions.layers.file_content import open_layer
from zot.extensions.layers.interface import LayerList, LayersUnavailableError, ListStatus
from zot.extensions.layers.list_frames import FRAME_LIMIT_BYTES, HEAD, FilesListed, Frame, ListEnded, decode_frame
from zot.foundation.threads import ThreadPool
from zot.foundation.wake_pipe import WakePipe
from zot.registry.registry import Registry
from zot.storage.interface import Content, StorageError

_DELAY_S = 10.0
"""How long a list waits at most until it is begun, if no other is being made, should its request be overlooked."""
_WITHOUT_PIPE_S = 0.25
"""The same where the file system has no named pipes."""
_AT_ONCE = 2
_LIST_LIMIT_S = 900.0
_RETRY_S = 1.0
_READ_BYTES = 256 << 10

_STOPPED = "The list ends early: it took too much time or memory."
_BROKEN = "No list can be made: it took too much time or memory."

_log = logging.getLogger("zot.layers")


class LayerLister:
    """Makes lists until it is cancelled (`Extension.consumers`)."""

    def __init__(
        self, path: Path, registry: Registry, limit_bytes: int, *, list_limit_s: float = _LIST_LIMIT_S
    ) -> None:
        """Write a file, which keeps about `limit_bytes`. A list takes at most `list_limit_s`."""
        self._database = ListsDatabase(path)
        self._registry = registry
        self._limit_bytes = limit_bytes
        self._list_limit_s = list_limit_s
        self._threads = ThreadPool("layer-lists", 1, 8)
        self._taken: set[int] = set()
        self._demand = WakePipe(demand_pipe(path))

    async def run(self) -> None:
        """Make lists until cancelled. What goes wrong is logged and tried again."""
        try:
            self._open_demand()
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(self._follow())
        finally:
            self._demand.close()
            self._threads.close()

    def _open_demand(self) -> None:
        try:
            self._demand.open()
        except OSError as error:
            _log.warning("requests for file lists of layers wake no process, and are polled instead: %s", error)

    async def _follow(self) -> None:
        while True:
            try:
                self._demand.clear()  # before the file is read: a list that is wanted later is found later
                if not await self._make_next():
                    await self._demand.wait(_DELAY_S if self._demand.is_open else _WITHOUT_PIPE_S)
            except (LayersUnavailableError, StorageError, CatalogError, OSError) as error:
                _log.warning("file lists of layers are not made for now: %s", error)
                await asyncio.sleep(_RETRY_S)
            except Exception:  # noqa: BLE001 (what one layer causes must not end maintenance, which shares the process)
                _log.exception("a file list of a layer is not made")
                await asyncio.sleep(_RETRY_S)

    async def _make_next(self) -> bool:
        """Make the list that waits longest; return False if there is none."""
        if not self._database.exists():
            return False
        wanted = await self._threads.run(self._database.next_wanted, frozenset(self._taken))
        if wanted is None or wanted.id in self._taken:
            return False
        self._taken.add(wanted.id)
        self._database.demand()  # one request may want several lists, and each task waits for the same pipe
        try:
            await self._make(wanted)
        except Exception:
            # One layer that cannot be read must not keep the others waiting: the next question begins it again.
            await self._threads.run(self._database.forget, wanted)
            raise
        finally:
            self._taken.discard(wanted.id)
        removed = await self._threads.run(self._database.shrink, self._limit_bytes)
        if removed:
            _log.info("%d file lists of layers were removed: the oldest ones, for room", removed)
        return True

    async def _make(self, wanted: WantedList) -> None:
        await self._threads.run(self._database.clear, wanted)
        content = await open_layer(self._registry, wanted.repository, wanted.digest)
        if content is None:
            await self._threads.run(self._database.forget, wanted)
            return
        with closing(content):
            made = await self._listed(wanted, content)
        _log.info("layer %s is listed%s", wanted.digest, f": {made.note}" if made.note else "")
        await self._threads.run(self._database.end, wanted, made)

    async def _listed(self, wanted: WantedList, content: Content) -> LayerList:
        """Write the files of a layer as a process lists them; return what is known of the list then."""
        ended: ListEnded | None = None
        any_file = False
        process = await _start()
        feeding = asyncio.create_task(_feed(process, content))
        try:
            async with asyncio.timeout(self._list_limit_s), aclosing(_frames(process)) as frames:
                async for frame in frames:
                    if isinstance(frame, FilesListed):
                        any_file = True
                        await self._threads.run(self._database.add, wanted, frame.files)
                    else:
                        ended = frame
        except (TimeoutError, EOFError, msgspec.DecodeError) as error:
            _log.warning(
                "the process that lists layer %s was stopped: %s", wanted.digest, str(error) or "it took too long"
            )
        finally:
            await asyncio.shield(_end(process, feeding))
        if feeding.done() and not feeding.cancelled() and (failed := feeding.exception()) is not None:
            raise failed
        if ended is None:
            status = ListStatus.MADE if any_file else ListStatus.FAILED
            return LayerList(wanted.digest, status, note=_STOPPED if any_file else _BROKEN)
        status = ListStatus.MADE if ended.is_archive else ListStatus.FAILED
        return LayerList(wanted.digest, status, ended.compression, 0, ended.size, ended.note)


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # modules come from the installation, never from the working directory
        "-m",
        "zot.extensions.layers.list_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # a terminal's interrupt reaches only the server, which ends this process
    )


async def _feed(process: asyncio.subprocess.Process, content: Content) -> None:
    """Write a layer to a process until it has all or wants no more. Raises StorageError."""
    assert process.stdin is not None
    try:
        for start in range(0, content.size, _READ_BYTES):
            process.stdin.write(await content.read(start, _READ_BYTES))
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):  # the list is complete, or the process has ended
        return
    finally:
        process.stdin.close()


async def _frames(process: asyncio.subprocess.Process) -> AsyncGenerator[Frame, None]:
    """Iterate over what a process says up to the end of its list. Raises EOFError, msgspec.DecodeError."""
    assert process.stdout is not None
    while True:
        (length,) = HEAD.unpack(await process.stdout.readexactly(HEAD.size))
        if length > FRAME_LIMIT_BYTES:
            raise EOFError("its output is no list")
        frame = decode_frame(await process.stdout.readexactly(length))
        yield frame
        if isinstance(frame, ListEnded):
            return


async def _end(process: asyncio.subprocess.Process, feeding: asyncio.Task[None]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    if not feeding.done():
        feeding.cancel()
    await asyncio.wait([feeding])
    # The event loop closes the pipe in its next steps; without waiting, the garbage collector would, with a warning.
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        await process.stdin.wait_closed()
