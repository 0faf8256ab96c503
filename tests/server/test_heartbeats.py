"""Heartbeats show which processes respond, in the time that their supervisor runs."""

import time

import pytest

from zot.server.heartbeats import HUNG_S, PERIOD_S, UNRESPONSIVE_S, Heartbeats, Silence
from zot.server.stop_schedule import GRACE_S, StopSchedule


def test_a_process_that_has_not_begun_is_unresponsive() -> None:
    """So is one whose last beat is long ago; those that requests do not need are none of it."""
    heartbeats = Heartbeats(["writer", "worker-0"], ["jobs"])
    assert heartbeats.unresponsive() == ["writer", "worker-0"]
    heartbeats.beat("writer")
    assert heartbeats.unresponsive() == ["worker-0"]
    heartbeats.beat("worker-0")
    assert heartbeats.unresponsive() == []


def test_beats_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is unresponsive `UNRESPONSIVE_S` after its last beat, and before it would be killed."""
    heartbeats = Heartbeats(["writer"])
    heartbeats.beat("writer")
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + UNRESPONSIVE_S + 1)
    assert heartbeats.unresponsive() == ["writer"]
    assert UNRESPONSIVE_S < HUNG_S


def test_silence_is_counted_in_the_time_of_the_supervisor() -> None:
    """A pause of the whole machine is one tick of silence; a beat ends it."""
    heartbeats = Heartbeats(["writer"])
    silence = Silence(heartbeats, "writer")
    assert silence.after(PERIOD_S) == PERIOD_S
    assert silence.after(3600.0) == 3 * PERIOD_S
    heartbeats.beat("writer")
    assert silence.after(PERIOD_S) == 0
    assert silence.after(PERIOD_S) == PERIOD_S


@pytest.mark.parametrize("total_s", [25.0, 60.0, 16.0])
def test_a_stop_ends_within_its_time(total_s: float) -> None:
    """Requests, exports, and the last kill follow each other, the last one at the end."""
    schedule = StopSchedule(total_s)
    assert schedule.requests_s + GRACE_S < schedule.exports_s
    assert schedule.exports_s + GRACE_S + GRACE_S <= total_s


@pytest.mark.parametrize("total_s", [0.0, 0.3, 8.0])
def test_a_short_stop_has_time_for_exports(total_s: float) -> None:
    """Requests have half of it, exports some seconds in any case."""
    schedule = StopSchedule(total_s)
    assert schedule.requests_s == total_s / 2
    assert schedule.exports_s >= 4


def test_the_deadlines_count_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped later has less time left, and none after the deadline."""
    schedule = StopSchedule(25.0)
    schedule.begin()
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 10.0)
    schedule.begin()
    assert schedule.left_s(schedule.requests_s) == pytest.approx(schedule.requests_s - 10.0, abs=1.0)
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 100.0)
    assert schedule.left_s(schedule.exports_s) == 0
