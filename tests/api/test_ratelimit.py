"""No client gets more than its share, and none takes more memory than its place in the table."""

from ipaddress import ip_network

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loopback import LoopbackResponse, serve_handler
from zot.api.client_address import ClientAddresses
from zot.api.http_request import HttpRequest
from zot.api.ratelimit import RateLimiter, TokenBuckets

LOOPBACK = ClientAddresses([ip_network("127.0.0.0/8")])


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Buckets(RuleBasedStateMachine):
    """Buckets of a rate against what was permitted, by their law alone."""

    rate_per_s = 3.0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.buckets = TokenBuckets(self.rate_per_s, clock=self.clock)
        self.permitted: dict[str, list[float]] = {"a": [], "b": []}

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now_s += seconds

    @rule(key=st.sampled_from(["a", "b"]))
    def ask(self, key: str) -> None:
        """A client asks; it is permitted at least when it has asked for nothing within a second."""
        idle = not self.permitted[key] or self.permitted[key][-1] < self.clock.now_s - 1
        permitted = self.buckets.take(key)
        assert permitted or not idle
        if permitted:
            self.permitted[key].append(self.clock.now_s)

    @invariant()
    def within_the_law(self) -> None:
        """In no span of time is more permitted than the burst and what flowed in."""
        for moments in self.permitted.values():
            for first in range(len(moments)):
                for last in range(first, len(moments)):
                    span_s = moments[last] - moments[first]
                    assert last - first + 1 <= self.rate_per_s + span_s * self.rate_per_s + 1e-6


TestBuckets = Buckets.TestCase
TestBuckets.settings = settings(max_examples=40, stateful_step_count=30)


@given(st.lists(st.integers(0, 30)), st.integers(1, 10))
def test_memory_is_bounded(keys: list[int], limit: int) -> None:
    """However many clients ask, no more than the limit are remembered."""
    buckets = TokenBuckets(1, buckets_limit=limit)
    for key in keys:
        buckets.take(key)
        assert len(buckets) <= limit


def test_the_longest_idle_is_forgotten() -> None:
    """A client that keeps asking is not forgotten because others come and go."""
    buckets = TokenBuckets(1, buckets_limit=2, clock=Clock())
    assert buckets.take("busy")
    for other in range(100):
        buckets.take(other)
        assert not buckets.take("busy")


def test_a_small_share_still_lets_something_through() -> None:
    """A rate below one a second permits one request, then one each time that a whole token has flowed in."""
    clock = Clock()
    buckets = TokenBuckets(0.5, clock=clock)
    assert [buckets.take("a"), buckets.take("a")] == [True, False]
    clock.now_s += 2
    assert [buckets.take("a"), buckets.take("a")] == [True, False]


Asked = tuple[str, str, dict[str, str]]


async def asked(limit: RateLimiter, *requests: Asked) -> list[LoopbackResponse]:
    """The answers to requests (method, target, headers), one after the other."""

    async def handler(http: HttpRequest) -> web.StreamResponse:
        return limit.refusal(http) or web.Response()

    async with serve_handler(handler, add_headers=limit.add_headers) as server:
        return [await server.ask(*request) for request in requests]


async def statuses(limit: RateLimiter, *requests: Asked) -> list[int]:
    """The statuses of the answers."""
    return [answer.status for answer in await asked(limit, *requests)]


GET: Asked = ("GET", "/v2/", {})


async def test_one_too_many_is_429() -> None:
    """Beyond the rate the answer is zot's: 429, its text, its headers, and when to come back."""
    limit = RateLimiter(2, {}, ClientAddresses(), clock=Clock())
    *permitted, refused = await asked(limit, GET, GET, GET)
    assert [answer.status for answer in permitted] == [200, 200]
    assert (refused.status, refused.body) == (429, b"Too Many Requests")
    assert refused.headers["Retry-After"] == "1"
    for answer in (*permitted, refused):
        assert answer.headers["X-Rate-Limit-Limit"] == "2.00"
        assert answer.headers["X-Rate-Limit-Duration"] == "1"
        assert answer.headers["X-Rate-Limit-Request-Remote-Addr"].startswith("127.0.0.1:")
        assert "X-Rate-Limit-Request-Forwarded-For" not in answer.headers


async def test_paths_are_counted_apart() -> None:
    """Each path has its own share; the query is no part of it."""
    limit = RateLimiter(1, {}, ClientAddresses(), clock=Clock())
    assert await statuses(limit, GET, ("GET", "/v2/?n=1", {}), ("GET", "/v2/_catalog", {})) == [200, 429, 200]


async def test_clients_are_counted_apart() -> None:
    """Clients behind a trusted proxy do not use up each other's share; a network of IPv6 is one client."""
    limit = RateLimiter(1, {}, LOOPBACK, clock=Clock())
    clients = ["203.0.113.1", "203.0.113.2", "203.0.113.1", "2001:db8::1", "2001:db8::ffff", "2001:db8:1::1"]
    requests = [("GET", "/v2/", {"X-Forwarded-For": client}) for client in clients]
    assert await statuses(limit, *requests) == [200, 200, 429, 200, 429, 200]


async def test_an_unknown_clients_claim_changes_nothing() -> None:
    """A header cannot make one client look like many."""
    limit = RateLimiter(1, {}, ClientAddresses(), clock=Clock())
    requests = [("GET", "/v2/", {"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(3)]
    answers = await asked(limit, *requests)
    assert [answer.status for answer in answers] == [200, 429, 429]
    assert answers[0].headers["X-Rate-Limit-Request-Forwarded-For"] == "203.0.113.0"


async def test_a_method_has_its_own_limit_beside_the_common_one() -> None:
    """Both limits have to permit a request; headers name the method's."""
    limit = RateLimiter(3, {"put": 1}, ClientAddresses(), clock=Clock())
    put: Asked = ("PUT", "/v2/", {})
    answers = await asked(limit, put, put, GET, GET)
    assert [answer.status for answer in answers] == [200, 429, 200, 429]
    assert [answer.headers["X-Rate-Limit-Limit"] for answer in answers] == ["1.00", "1.00", "3.00", "3.00"]


async def test_without_limits_nothing_is_said() -> None:
    """A method that no limit is about gets neither refusal nor headers."""
    limit = RateLimiter(None, {"PUT": 1}, ClientAddresses(), clock=Clock())
    answers = await asked(limit, GET, GET)
    assert [answer.status for answer in answers] == [200, 200]
    assert not any(name.startswith("X-Rate-Limit") for name in answers[0].headers)


@pytest.mark.parametrize(("workers", "permitted"), [(1, 4), (2, 2), (4, 1), (0, 4)])
async def test_workers_share_the_rate(workers: int, permitted: int) -> None:
    """Each process holds its share of the limit, and says the whole."""
    limit = RateLimiter(4, {}, ClientAddresses(), workers=workers, clock=Clock())
    answers = await asked(limit, *[GET] * 5)
    assert [answer.status for answer in answers].count(200) == permitted
    assert answers[0].headers["X-Rate-Limit-Limit"] == "4.00"
