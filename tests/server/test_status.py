"""The state of a server is put together from its parts; what is wrong with one of them is a warning."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from zot.config.load import load_tree
from zot.extensions.search.interface import IndexStatus, Search, SearchUnavailableError
from zot.maintenance.job_state import JobRun
from zot.maintenance.scheduler import TaskState
from zot.server.heartbeats import Heartbeats
from zot.server.plan import make_plan
from zot.server.status import processes_of, server_status
from zot.server.store import Store, open_store


class Index:
    """An index that is being filled, or that cannot be read."""

    def __init__(self, *, readable: bool) -> None:
        self._readable = readable

    async def status(self) -> IndexStatus:
        if not self._readable:
            raise SearchUnavailableError("it is being made again")
        return IndexStatus(complete=False, importing=False, done=3, total=12, behind=5, repositories=3, images=9)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    storage = {"rootDirectory": str(tmp_path), "minFreeBytes": 0, "minFreePercent": 0}
    config = load_tree({"storage": storage, "log": {"level": "error"}}).config
    plan = replace(make_plan(config, None, workers=0, read_only=False), heartbeats=Heartbeats(["writer"], ["jobs"]))
    async with open_store(config, plan) as opened:
        yield opened


def test_a_process_is_silent_until_it_responds() -> None:
    heartbeats = Heartbeats(["writer"], ["jobs"])
    assert [(each.name, each.silent_s) for each in processes_of(heartbeats)] == [("writer", None), ("jobs", None)]
    heartbeats.beat("jobs")
    (_, jobs) = processes_of(heartbeats)
    assert jobs.silent_s is not None


async def test_a_server_whose_parts_work_has_no_warning(store: Store) -> None:
    for name in store.plan.heartbeats.names:
        store.plan.heartbeats.beat(name)
    found = await server_status(store.config, store, [], cast("Search", Index(readable=True)), None)
    assert found.warnings == []
    assert found.index is not None
    assert (found.index.complete, found.index.done, found.index.total) == (False, 3, 12)
    assert found.started_s <= found.now_s


async def test_what_does_not_work_is_a_warning(store: Store) -> None:
    """A process that does not respond, a job that failed, an index that cannot be read."""
    store.plan.heartbeats.beat("writer")
    failed = TaskState("Scrub", "low", 60.0, "waiting", JobRun(1.0, 2.0, True, "no space"), None)
    found = await server_status(store.config, store, [failed], cast("Search", Index(readable=False)), None)
    assert found.warnings == [
        "the process jobs does not respond",
        "the job Scrub failed: no space",
        "the search index cannot be read: it is being made again",
    ]
    assert found.index is None
