"""A process that answers HTTP requests asks the one in the background, and waits for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from zot.admin.asking import NotAnsweredError, ask_for_rows
from zot.admin.requests import AdminError, AdminRequest, ListJobs, Noted, OperationProgress
from zot.config.state_directory import StateDirectory
from zot.config.storage import StorageConfig
from zot.processes.control import ask_server, control_socket


async def test_rows_come_without_progress_and_notes() -> None:
    async def answer(_: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
        for each in (OperationProgress("1 of 2"), "a", Noted("incomplete"), "b"):
            yield each

    rows: list[Any] = list(await ask_for_rows(answer, ListJobs()))
    assert rows == ["a", "b"]


async def test_an_answer_ends_when_the_rows_are_enough() -> None:
    ended = []

    async def answer(_: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
        try:
            while True:
                yield "row"
        finally:
            ended.append(True)

    assert len(await ask_for_rows(answer, ListJobs(), enough=lambda rows: len(rows) == 3)) == 3
    assert ended == [True]


async def test_a_silent_process_is_not_waited_for() -> None:
    async def answer(_: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
        yield "row"
        await asyncio.Event().wait()

    with pytest.raises(NotAnsweredError, match="within"):
        await ask_for_rows(answer, ListJobs(), limit_s=0.05)


async def test_without_a_process_there_is_no_answer(tmp_path: Path) -> None:
    state = StateDirectory.of(StorageConfig(root_directory=str(tmp_path)))
    with pytest.raises(NotAnsweredError):
        await ask_for_rows(lambda request: ask_server(state, request), ListJobs())


async def test_what_cannot_be_done_is_said_across_the_socket(tmp_path: Path) -> None:
    state = StateDirectory.of(StorageConfig(root_directory=str(tmp_path)))
    state.runtime.mkdir()

    async def refuse(request: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
        if isinstance(request, ListJobs):
            raise AdminError("the registry is read-only")
        yield request

    async with control_socket(state, refuse):
        with pytest.raises(AdminError, match="the registry is read-only"):
            await ask_for_rows(lambda request: ask_server(state, request), ListJobs())
