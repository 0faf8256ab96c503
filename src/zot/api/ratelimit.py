"""Rate limits by client and path (`http.ratelimit`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from http import HTTPStatus

from aiohttp import web

from zot.api.client_address import ClientAddresses, network_of
from zot.api.http_request import HttpRequest
from zot.foundation.bounded_map import BoundedMap

BUCKETS_LIMIT = 50_000
"""Clients and paths remembered by a limit. The least recently seen one is forgotten, and starts with a full bucket."""


class TokenBuckets:
    """A bucket of tokens for each key: it starts full, fills at a rate, and every permission takes one token.

    In any time span, a key is permitted no more than its burst and what flowed in during it.
    """

    def __init__(
        self,
        rate_per_s: float,
        buckets_limit: int = BUCKETS_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limit to a rate, which is the burst as well (at least 1); remember `buckets_limit` keys."""
        self._rate_per_s = rate_per_s
        self._burst = max(1.0, rate_per_s)
        self._clock = clock
        self._buckets: BoundedMap[Hashable, tuple[float, float]] = BoundedMap(buckets_limit)

    def __len__(self) -> int:
        """Return the number of remembered keys."""
        return len(self._buckets)

    def take(self, key: Hashable) -> bool:
        """Take a token; return False if the bucket is empty."""
        now_s = self._clock()
        tokens, at_s = self._buckets.get(key, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - at_s) * self._rate_per_s)
        permitted = tokens >= 1
        self._buckets[key] = (tokens - 1 if permitted else tokens, now_s)
        return permitted


class RateLimiter:
    """The rate limits of one process: its share of them if there are several workers."""

    def __init__(
        self,
        rate: int | None,
        methods: Mapping[str, int],
        addresses: ClientAddresses,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limit requests a second of all methods together (None: no limit), and of single methods."""
        self._addresses = addresses
        self._rates = {method.upper(): each for method, each in methods.items()}
        if rate is not None:
            self._rates[""] = rate
        self._buckets = {
            method: TokenBuckets(each / max(1, workers), clock=clock) for method, each in self._rates.items()
        }

    def refusal(self, http: HttpRequest) -> web.Response | None:
        """Count the request; return the response 429 if it exceeds a limit, else None."""
        client = self._addresses.of(http).ip
        # The hash stands for both, so that long paths are not kept.
        key = hash((network_of(client), http.raw_path.partition("?")[0]))
        for method in ("", http.method):
            buckets = self._buckets.get(method)
            if buckets is not None and not buckets.take(key):
                return web.Response(status=429, text=HTTPStatus.TOO_MANY_REQUESTS.phrase, headers={"Retry-After": "1"})
        return None

    def add_headers(self, http: HttpRequest, response: web.StreamResponse) -> None:
        """Add zot's headers to a response; the limit is the method's, if it has one."""
        rate = self._rates.get(http.method, self._rates.get(""))
        if rate is None:
            return
        headers = response.headers
        headers["X-Rate-Limit-Limit"] = f"{rate:.2f}"
        headers["X-Rate-Limit-Duration"] = "1"
        headers["X-Rate-Limit-Request-Remote-Addr"] = str(self._addresses.peer(http))
        forwarded = http.headers.get("X-Forwarded-For")
        if forwarded is not None and forwarded.isprintable():
            headers["X-Rate-Limit-Request-Forwarded-For"] = forwarded
