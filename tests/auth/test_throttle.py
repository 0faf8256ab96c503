"""Failed logins are slowed down: by rate, in parallel as well, and without punishing other users."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import bcrypt
import pytest

from auth.harness import PEOPLE, Site, basic, serving
from zot.auth import throttle as throttle_module
from zot.auth.throttle import COUNT_LIMIT, LONGEST_DELAY_S, Throttle, Turn
from zot.registry.errors import TooManyRequests


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        """Start at zero."""
        self.now_s = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()


def waits(throttle: Throttle, name: str, address: str, count: int) -> list[float]:
    """Begin attempts at once, and give how long those wait that are not refused."""
    found = []
    for _ in range(count):
        try:
            found.append(throttle.begin(name, address).wait_s)
        except TooManyRequests as refused:
            assert (refused.retry_after_s or 0) >= LONGEST_DELAY_S  # noqa: PT017 - some succeed
    return found


def test_attempts_in_parallel_take_turns(clock: Clock) -> None:
    """A few are free; the others wait for each other, longer and longer, and those beyond the bound are refused."""
    found = waits(Throttle(clock), "alice", "10.0.0.1", 1000)
    assert found[:3] == [0.0, 0.0, 0.0]
    gaps = [later - sooner for sooner, later in pairwise(found[2:])]
    assert gaps == sorted(gaps)
    assert gaps[0] > 0
    assert found[-1] <= LONGEST_DELAY_S
    assert len(found) < 12


def test_the_rate_of_guesses_is_bounded(clock: Clock) -> None:
    """Over minutes, however many attempts are sent at once, about one in `LONGEST_DELAY_S` is looked at."""
    throttle = Throttle(clock)
    looked_at = 0
    for second in range(600):
        clock.now_s = float(second)
        looked_at += len(waits(throttle, "alice", "10.0.0.1", 50))
    assert looked_at < 600 / LONGEST_DELAY_S + 12


def test_guesses_from_many_addresses_take_turns_of_the_name(clock: Clock) -> None:
    """Another address is no new start."""
    throttle = Throttle(clock)
    looked_at = sum(len(waits(throttle, "alice", f"10.0.{number}.1", 1)) for number in range(200))
    assert looked_at < 12


def test_one_guesser_holds_up_no_other_name(clock: Clock) -> None:
    """Neither at the same address nor elsewhere, whatever number of passwords is tried for one name."""
    throttle = Throttle(clock)
    waits(throttle, "alice", "10.0.0.1", 1000)
    assert waits(throttle, "bob", "10.0.0.1", 1) == [0.0]
    assert waits(throttle, "carol", "10.0.0.2", 1) == [0.0]


def test_the_owner_of_a_name_is_not_kept_out_from_elsewhere(clock: Clock) -> None:
    """Where the name has logged in before, it waits for no guesser at another address."""
    throttle = Throttle(clock)
    throttle.succeeded(throttle.begin("alice", "10.0.0.9"))
    waits(throttle, "alice", "10.0.0.1", 1000)
    assert waits(throttle, "alice", "10.0.0.9", 1) == [0.0]


def test_an_address_that_tries_many_names_is_slowed_down_a_little(clock: Clock) -> None:
    """Those who have logged in from there are not, and the others wait for their turn for about a second."""
    throttle = Throttle(clock)
    throttle.succeeded(throttle.begin("alice", "10.0.0.1"))
    found = [wait for number in range(300) for wait in waits(throttle, f"guess-{number}", "10.0.0.1", 1)]
    assert 50 < len(found) < 70
    assert waits(throttle, "alice", "10.0.0.1", 1) == [0.0]
    assert waits(throttle, "bob", "10.0.0.2", 1) == [0.0]
    clock.now_s += LONGEST_DELAY_S
    (wait,) = waits(throttle, "bob", "10.0.0.1", 1)
    assert wait <= 1.0


@pytest.mark.parametrize("spelling", ["ALICE", " alice", "alice  ", "\uff41lice"])
def test_another_spelling_of_a_name_is_no_new_start(clock: Clock, spelling: str) -> None:
    """A directory takes them for the same name, so guessing goes on where it was."""
    throttle = Throttle(clock)
    waits(throttle, "alice", "10.0.0.1", 4)
    assert waits(throttle, spelling, "10.0.0.1", 1)[0] > 0


def test_a_success_ends_the_delay_and_time_does(clock: Clock) -> None:
    """A person who mistyped goes on at once after the right password; failures are forgotten."""
    throttle = Throttle(clock)
    waits(throttle, "alice", "10.0.0.1", 4)
    clock.now_s += LONGEST_DELAY_S
    throttle.succeeded(throttle.begin("alice", "10.0.0.1"))
    assert waits(throttle, "alice", "10.0.0.1", 3) == [0.0] * 3
    waits(throttle, "bob", "", 100)
    clock.now_s += throttle_module.FORGOTTEN_AFTER_S
    assert waits(throttle, "bob", "", 3) == [0.0] * 3


def test_an_attempt_without_an_answer_is_not_counted(clock: Clock) -> None:
    """A directory that is down makes no failures."""
    throttle = Throttle(clock)
    for _ in range(10):
        turn: Turn = throttle.begin("alice", "10.0.0.1")
        assert turn.wait_s == 0
        throttle.undecided(turn)


def test_what_is_remembered_is_bounded(clock: Clock) -> None:
    """Names and addresses without end hold a bounded number of counts."""
    throttle = Throttle(clock)
    for number in range(COUNT_LIMIT + 100):
        throttle.begin(f"{number}", f"{number}")
        throttle.succeeded(throttle.begin(f"known-{number}", f"{number}"))
    tables = (throttle._pairs._states, throttle._names._states, throttle._addresses._states, throttle._known)
    assert all(len(table) <= COUNT_LIMIT for table in tables)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Serve for PEOPLE."""
    path = tmp_path / "htpasswd"
    hashes = {name: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for name, password in PEOPLE.items()}
    path.write_text("".join(f"{name}:{hashed}\n" for name, hashed in hashes.items()))
    async with serving(tmp_path / "data", {"auth": {"htpasswd": {"path": str(path)}}}) as site:
        yield site


async def test_a_flood_of_guesses_gets_few_answers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred wrong passwords at once some are looked at, the others are 429; another user logs in meanwhile."""
    monkeypatch.setattr(throttle_module, "LONGEST_DELAY_S", 0.8)
    guesses = [asyncio.create_task(site.status("/v2/", headers=basic("alice", f"guess-{n}"))) for n in range(100)]
    assert await site.status("/v2/", headers=basic("bob")) == 200
    statuses = Counter(await asyncio.gather(*guesses))
    assert set(statuses) == {401, 429}
    assert statuses[401] < 8
    async with site.client(headers=basic("alice", "another")) as client, client.get("/v2/") as response:
        assert response.status in {401, 429}
        assert response.status == 401 or int(response.headers["Retry-After"]) > 0


async def test_the_same_password_on_many_connections_is_one_attempt(site: Site) -> None:
    """A client that opens many connections at once, with the right password or a wrong one, is not slowed down."""
    right = await asyncio.gather(*(site.status("/v2/", headers=basic("alice")) for _ in range(30)))
    assert right == [200] * 30
    wrong = await asyncio.gather(*(site.status("/v2/", headers=basic("bob", "wrong")) for _ in range(30)))
    assert set(wrong) <= {401, 429}
    assert await site.status("/v2/", headers=basic("alice")) == 200
