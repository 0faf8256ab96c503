"""Events arrive at least once and in order, whatever happens to the sink, the server and the change log."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from extensions.events.receiver import Received, Receiver
from extensions.events.rig import NAME, database_at, delivering, until
from extensions.search.rig import Registry
from zot.catalog.change_log import TrimChanges
from zot.extensions.events import delivery, delivery_database
from zot.extensions.events.event_filter import EventFilter
from zot.extensions.events.http_sink import HttpSink


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver of events."""
    with Receiver() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database of deliveries is."""
    return tmp_path / "events.db"


async def test_a_new_sink_begins_with_the_next_change(receiver: Receiver, path: Path) -> None:
    """What was pushed before a sink was configured is not sent to it, what is pushed while it runs is."""
    registry = Registry()
    await registry.push("a", "old")
    async with delivering(registry.catalog, HttpSink(receiver.url), path):
        await registry.push("a", "new")
        await until(lambda: receiver.images == ["a:new"])


async def test_changes_while_no_server_runs_are_told_after_the_start(receiver: Receiver, path: Path) -> None:
    """A sink goes on after the last event that it has got."""
    registry = Registry()
    async with delivering(registry.catalog, HttpSink(receiver.url), path) as database:
        await registry.push("a", "1")
        await until(lambda: receiver.images == ["a:", "a:1"])
        newest = (await registry.catalog.changes(None, 1)).cursor.sequence
        await until(lambda: (row := database.sink(NAME)) is not None and row.sequence == newest)
    await registry.push("a", "2")
    async with delivering(registry.catalog, HttpSink(receiver.url), path):
        await until(lambda: receiver.images == ["a:", "a:1", "a:2"])
    assert len(receiver.accepted) == 3


async def test_a_sink_that_fails_and_is_well_again_gets_every_event_in_order(receiver: Receiver, path: Path) -> None:
    """Status 500 delays events; none is lost, and those of a repository come in the order of their changes."""
    registry, failures = Registry(), defaultdict[str, int](int)

    def fails_often(request: Received) -> int:
        failures[request.id] += 1
        return 204 if failures[request.id] > hash(request.id) % 4 else 500

    receiver.answer = fails_often
    async with delivering(registry.catalog, HttpSink(receiver.url), path, patience_s=3600) as database:
        for number in range(20):
            for name in "abc":
                await registry.push(name, f"{number:02}")
        await until(lambda: len(receiver.images) == 63)
        for name in "abc":
            of_name = [each for each in receiver.images if each.startswith(f"{name}:")]
            assert of_name == [f"{name}:", *(f"{name}:{number:02}" for number in range(20))]
        assert not database.dead_letter_count(NAME)


async def test_a_sink_that_hangs_delays_no_other(receiver: Receiver, tmp_path: Path) -> None:
    """While one sink never answers, another gets everything; the first gets it once it answers."""
    registry, thawed = Registry(), threading.Event()

    def hangs(_: Received) -> int:
        thawed.wait()
        return 204

    with Receiver() as hanging:
        hanging.answer = hangs
        path = tmp_path / "events.db"
        try:
            async with (
                delivering(registry.catalog, HttpSink(hanging.url, timeout_s=0.1), path, name="hanging") as database,
                delivering(registry.catalog, HttpSink(receiver.url), path),
            ):
                for number in range(10):
                    await registry.push("a", str(number))
                await until(lambda: len(receiver.images) == 11)
                await until(lambda: (row := database.sink("hanging")) is not None and "did not answer" in row.problem)
                assert not hanging.accepted
                thawed.set()
                await until(lambda: hanging.images == receiver.images)
        finally:
            thawed.set()


async def test_a_sink_that_is_down_at_the_start_is_tried_again(path: Path) -> None:
    """A sink that cannot be reached loses nothing, and is told why in its status."""
    registry = Registry()
    with Receiver() as closed:
        url, port = closed.url, closed.port
    async with delivering(registry.catalog, HttpSink(url), path, patience_s=0.0) as database:
        await registry.push("a", "1")
        await until(lambda: (row := database.sink(NAME)) is not None and row.failures >= 5)
        row = database.sink(NAME)
        assert row is not None
        assert "cannot be reached" in row.problem
        assert row.failing_since_s is not None
        assert not database.dead_letter_count(NAME)
        assert port


async def test_an_event_that_a_sink_refuses_is_a_dead_letter(receiver: Receiver, path: Path) -> None:
    """Others arrive, it is kept with the reason, and arrives once an operator sends it again."""
    registry, refuses = Registry(), [True]
    receiver.answer = lambda request: 400 if refuses[0] and request.image == "a:bad" else 204
    async with delivering(registry.catalog, HttpSink(receiver.url), path) as database:
        for tag in ("1", "bad", "2"):
            await registry.push("a", tag)
        await until(lambda: receiver.images == ["a:", "a:1", "a:2"])
        (letter,) = database.dead_letters(NAME, 0, 10)
        assert (letter.event.reference, letter.reason, letter.attempts) == ("bad", "it answered with status 400", 3)
        await database.mark_due(NAME)
        await until(lambda: not database.due_letters(NAME, 1))
        assert database.dead_letters(NAME, 0, 10)[0].attempts == 4
        refuses[0] = False
        await database.mark_due(NAME, letter.id)
        await until(lambda: receiver.images == ["a:", "a:1", "a:2", "a:bad"])
        await until(lambda: not database.dead_letter_count(NAME))


async def test_an_event_that_always_fails_does_not_stop_the_others(receiver: Receiver, path: Path) -> None:
    """An event that is answered with 500 is given up after a while, and those that follow arrive."""
    registry = Registry()
    receiver.answer = lambda request: 500 if request.image == "a:bad" else 204
    async with delivering(registry.catalog, HttpSink(receiver.url), path, patience_s=0.0) as database:
        await registry.push("a", "bad")
        await until(lambda: database.dead_letter_count(NAME) == 1)
        await registry.push("a", "good")
        await until(lambda: receiver.images[-1:] == ["a:good"])


async def test_an_event_that_fails_holds_up_its_repository_alone(
    receiver: Receiver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later events of others arrive while it is tried again, and since they do, it is given up sooner."""
    registry = Registry()
    receiver.answer = lambda request: 500 if request.image == "a:bad" else 204
    async with delivering(registry.catalog, HttpSink(receiver.url), path, patience_s=3600) as database:
        await registry.push("a", "bad")
        await until(lambda: (row := database.sink(NAME)) is not None and row.failures >= 3)
        await registry.push("b", "1")
        await registry.push("a", "next")
        await until(lambda: receiver.images[-2:] == ["b:", "b:1"])
        assert not database.dead_letter_count(NAME)
        monkeypatch.setattr(delivery, "_PATIENCE_WITH_ONE_S", 0.0)
        await until(lambda: database.dead_letter_count(NAME) == 1)
        await until(lambda: receiver.images[-1] == "a:next")
    async with delivering(registry.catalog, HttpSink(receiver.url), path):
        await registry.push("c", "1")
        await until(lambda: receiver.images == ["a:", "b:", "b:1", "a:next", "c:", "c:1"])


@pytest.mark.parametrize("status", [400, 500])
async def test_an_outage_is_no_fault_of_an_event(receiver: Receiver, path: Path, status: int) -> None:
    """Attempts while the sink is away do not count: an error after them is the first one."""
    registry, answers = Registry(), iter([503, 503, 503, 503, status, 503, status, 204])
    receiver.answer = lambda _: next(answers, 204)
    async with delivering(registry.catalog, HttpSink(receiver.url), path, patience_s=0.0) as database:
        await registry.push("a", "1")
        await until(lambda: receiver.images == ["a:", "a:1"])
        assert not database.dead_letter_count(NAME)


async def test_a_database_that_cannot_be_written_repeats_no_event(
    receiver: Receiver, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What arrived is recorded once that is possible, and the sink goes on then."""
    monkeypatch.setattr(delivery, "_RETRY_S", 0.005)
    registry = Registry()
    with closing(apsw.Connection(str(path))) as other:
        async with delivering(registry.catalog, HttpSink(receiver.url), path):
            other.execute("CREATE TRIGGER full BEFORE UPDATE ON sink BEGIN SELECT RAISE(ABORT, 'full'); END")
            await registry.push("a", "1")
            await until(lambda: "no more events are sent to receiver for now" in caplog.text)
            await registry.push("a", "2")
            other.execute("DROP TRIGGER full")
            await until(lambda: receiver.images == ["a:", "a:1", "a:2"])
    assert len(receiver.received) == 3


async def test_dead_letters_are_bounded(receiver: Receiver, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the oldest is dropped."""
    monkeypatch.setattr(delivery_database, "DEAD_LETTERS_LIMIT", 3)
    registry = Registry()
    receiver.answer = lambda request: 204 if request.image == "a:end" else 422
    async with delivering(registry.catalog, HttpSink(receiver.url), path) as database:
        for number in range(5):
            await registry.push("a", str(number))
        await registry.push("a", "end")
        await until(lambda: bool(receiver.accepted))
        assert [each.event.reference for each in database.dead_letters(NAME, 0, 10)] == ["2", "3", "4"]


async def test_a_trimmed_log_is_a_gap(receiver: Receiver, path: Path) -> None:
    """If the log lacks what followed, that is counted, and the sink goes on with the next change."""
    registry = Registry()
    async with delivering(registry.catalog, HttpSink(receiver.url), path):
        pass
    for number in range(5):
        await registry.push("a", str(number))
    await registry.catalog.do(TrimChanges(older_than_s=0, keep=1))
    async with delivering(registry.catalog, HttpSink(receiver.url), path) as database:
        await until(lambda: (row := database.sink(NAME)) is not None and row.gaps == 1)
        await registry.push("a", "next")
        await until(lambda: receiver.images == ["a:next"])


async def test_a_sink_that_is_moved_back_gets_events_again(receiver: Receiver, path: Path) -> None:
    """An operator who moves a sink back while it is delivered to makes it get the same ids again."""
    registry = Registry()
    async with delivering(registry.catalog, HttpSink(receiver.url), path) as database:
        start = (await registry.catalog.changes(None, 1)).cursor
        for tag in ("1", "2"):
            await registry.push("a", tag)
        await until(lambda: len(receiver.accepted) == 3)
        assert await database.rewind(NAME, start)
        await until(lambda: len(receiver.accepted) == 6)
    ids = [each.id for each in receiver.accepted]
    assert ids[:3] == ids[3:]


async def test_what_a_filter_leaves_out_is_not_sent_later(receiver: Receiver, path: Path) -> None:
    """A sink is done with events that it does not want, also if its filter changes afterwards."""
    registry, wanted = Registry(), EventFilter(["image.updated"], ["a"])
    async with delivering(registry.catalog, HttpSink(receiver.url), path, wanted) as database:
        await registry.push("a", "1")
        await registry.push("b", "1")
        newest = (await registry.catalog.changes(None, 1)).cursor.sequence
        await until(lambda: (row := database.sink(NAME)) is not None and row.sequence == newest)
    async with delivering(registry.catalog, HttpSink(receiver.url), path):
        await registry.push("b", "2")
        await until(lambda: receiver.images == ["a:1", "b:2"])


async def test_a_stop_in_the_middle_of_a_page_keeps_what_arrived(receiver: Receiver, path: Path) -> None:
    """After a stop the sink goes on where it was, though other events of the page have not arrived."""
    registry = Registry()
    async with delivering(registry.catalog, HttpSink(receiver.url), path):
        pass
    for number in range(50):
        await registry.push("a", f"{number:02}")
    stopped = threading.Event()

    def stops(request: Received) -> int:
        if request.image == "a:25":
            stopped.set()
            threading.Event().wait(0.2)
        return 204

    receiver.answer = stops
    async with delivering(registry.catalog, HttpSink(receiver.url), path):
        await until(stopped.is_set)
    async with delivering(registry.catalog, HttpSink(receiver.url), path):
        await until(lambda: len(receiver.images) == 51)
    assert len(receiver.received) <= 52


async def test_a_damaged_database_is_set_aside(path: Path) -> None:
    """A file that is no database is kept under another name, and another one is begun."""
    path.write_bytes(b"damaged" * 1000)
    async with database_at(path.with_name("other.db")) as _:
        pass
    kept = path.with_name("events.db.damaged")
    await asyncio.sleep(0)
    from zot.foundation.threads import ThreadPool

    threads = ThreadPool("events", 1, 8)
    database = delivery_database.open_database(path, threads)
    assert kept.read_bytes().startswith(b"damaged")
    assert database.sink(NAME) is None
    await database.aclose()
    threads.close()
