"""When layouts are exported."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import pytest

from layout.images import image
from layout.store import APP, Store, eventually
from zot.layout.schedule import ExportSchedule
from zot.oci.digest import Digest
from zot.oci.names import Repository, parse_repository
from zot.storage.interface import StorageError

ONE, TWO = image("one"), image("two")


async def test_what_changes_is_exported(store: Store) -> None:
    """While it runs, each change is exported without a call."""

    async def in_sync() -> bool:
        return not await store.catalog.exports_due(10)

    running = asyncio.create_task(store.schedule.run())
    for number in range(2):
        for name in ("a", "b/c"):
            await store.push(image(str(number)), "x", repository=parse_repository(name))
        await eventually(in_sync)
        assert store.layout(parse_repository("b/c")).tags() == {"x": image(str(number)).digest}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_export_takes_a_tenth_of_the_time_at_most(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an export of a second, the repository's next one waits ten seconds; other repositories do not."""
    loop = asyncio.get_running_loop()
    now = 0.0
    times: list[tuple[str, float]] = []

    async def export(repository: Repository) -> bool:
        nonlocal now
        times.append((repository, now))
        now += 1
        return True

    for name in ("a", "b"):
        await store.push(ONE, "x", repository=parse_repository(name))
    monkeypatch.setattr(store.exporter, "export", export)
    monkeypatch.setattr(loop, "time", lambda: now)
    for _ in range(12):
        due = await store.schedule._due_now()
        for name in due:
            store.schedule._running.add(name)
            await store.schedule._export_alone(name)
        now += 1
    assert times[:2] == [("a", 0), ("b", 1)]
    assert [time for name, time in times if name == "a"] == [0, 11]


async def test_a_repository_is_exported_once_it_is_quiet(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that keeps changing waits until it did not change for a while, but no longer than the limit."""
    now = 0.0
    schedule = ExportSchedule(store.catalog, store.files, store.exporter, quiet_s=2, latest_s=6)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    quiet, busy = parse_repository("quiet"), parse_repository("busy")
    await store.push(ONE, "x", repository=quiet)
    due: dict[float, list[Repository]] = {}
    for second in range(8):
        now = second
        await store.push(image(str(second)), "x", repository=busy)
        due[now] = await schedule._due_now()
        if quiet in due[now]:
            await store.exporter.export(quiet)
    assert {second: names for second, names in due.items() if names} == {2: [quiet], 6: [busy]}


async def test_the_smallest_come_first_at_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain exports all due layouts, the smallest first, whatever their pauses."""
    names = [parse_repository(name) for name in ("a", "b", "c")]
    for name, tags in zip(names, (200, 30, 60), strict=True):
        await store.push(ONE, *(f"t{number}" for number in range(tags)), repository=name)
        await store.exporter.export(name)
        await store.push(TWO, "x", repository=name)
    order: list[str] = []
    export = store.exporter.export

    async def note(repository: Repository) -> bool:
        order.append(repository)
        return await export(repository)

    monkeypatch.setattr(store.exporter, "export", note)
    monkeypatch.setattr("zot.layout.schedule._AT_ONCE", 1)
    schedule = ExportSchedule(store.catalog, store.files, store.exporter)
    assert await schedule.drain(60)
    assert order == ["b", "c", "a"]
    assert all(store.layout(name).tags()["x"] == TWO.digest for name in names)


async def test_what_cannot_be_written_is_left_for_the_next_start(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A repository that fails delays neither the others nor the end, and is counted in the log."""
    bad, good = parse_repository("bad"), parse_repository("good")
    for name in (bad, good):
        await store.push(ONE, "x", repository=name)
    put = store.storage.put_all

    async def fail(contents: Mapping[Repository, Mapping[Digest, bytes]]) -> None:
        if bad in contents:
            raise StorageError("no")
        await put(contents)

    monkeypatch.setattr(store.storage, "put_all", fail)
    with caplog.at_level(logging.WARNING):
        assert not await store.schedule.drain(60)
    assert "1 layouts are not exported" in caplog.text
    assert store.layout(good).tags() == {"x": ONE.digest}
    assert await store.catalog.exports_due(10) == [bad]


async def test_the_end_has_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit running exports are cancelled: the layout stays as it was, and due."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    await store.push(ONE, "x")
    await store.exporter.export(APP)
    await store.push(TWO, "x")
    monkeypatch.setattr(store.storage, "put_all", never)
    assert not await store.schedule.drain(0.01)
    assert store.layout().tags() == {"x": ONE.digest}
    monkeypatch.undo()
    assert await store.schedule.drain(60)
    assert store.layout().tags() == {"x": TWO.digest}
