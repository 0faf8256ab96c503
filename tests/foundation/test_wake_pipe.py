"""A process sleeps until another one wakes it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from zot.foundation.wake_pipe import WakePipe, wake

FOR_EVER_S = 3600.0


async def test_each_wake_is_noticed_once(tmp_path: Path) -> None:
    """What comes before the wait counts, several wakes are one, and after `clear` another one is needed."""
    pipe = WakePipe(tmp_path / "pipe")
    pipe.open()
    for _ in range(3):
        waiting = asyncio.create_task(pipe.wait(FOR_EVER_S))
        for _ in range(100_000):  # more than the pipe holds
            wake(tmp_path / "pipe")
        assert await waiting
        assert await pipe.wait(FOR_EVER_S)
        pipe.clear()
        assert not await pipe.wait(0.01)
    pipe.close()


async def test_another_process_wakes(tmp_path: Path) -> None:
    """The pipe has a name, so that processes need have no parent in common."""
    pipe = WakePipe(tmp_path / "pipe")
    pipe.open()
    writer = await asyncio.create_subprocess_exec("sh", "-c", 'printf w > "$1"', "sh", str(tmp_path / "pipe"))
    assert await pipe.wait(FOR_EVER_S)
    await writer.wait()
    pipe.close()


@pytest.mark.parametrize("before", ["nothing", "file", "pipe"])
async def test_a_pipe_is_made_in_place_of_what_was_left(tmp_path: Path, before: str) -> None:
    """A file of that name is replaced, a pipe that an earlier process left is used; opening again does no harm."""
    path = tmp_path / "pipe"
    if before == "file":
        path.touch()
    if before == "pipe":
        os.mkfifo(path)
    pipe = WakePipe(path)
    for _ in range(2):
        pipe.open()
        assert pipe.is_open
        wake(path)
        assert await pipe.wait(FOR_EVER_S)
        pipe.clear()
    pipe.close()


async def test_without_a_process_that_waits_a_wake_does_nothing(tmp_path: Path) -> None:
    """Neither a missing pipe nor one that no process reads keeps the caller waiting."""
    path = tmp_path / "pipe"
    wake(path)
    assert not path.exists()
    os.mkfifo(path)
    wake(path)
    pipe = WakePipe(path)
    pipe.open()
    assert not await pipe.wait(0.01)
    pipe.close()


async def test_a_directory_without_pipes_is_an_error(tmp_path: Path) -> None:
    """The caller learns that no process can wake it."""
    pipe = WakePipe(tmp_path / "missing" / "pipe")
    with pytest.raises(OSError, match="No such file"):
        pipe.open()
    assert not pipe.is_open
    assert not await pipe.wait(0.01)
    pipe.close()
