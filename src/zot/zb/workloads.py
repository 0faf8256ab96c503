"""The workloads: what one client does in each, and the table of them all in the order in which they run."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from zot.zb.blobs import HUGE, LABELS, LARGE, MEDIUM, SMALL, USUAL_SIZES, Blob
from zot.zb.cleanup import remove
from zot.zb.client import LoadClient, RequestError
from zot.zb.pull import FirstBytes, pull
from zot.zb.push import push
from zot.zb.statistics import Record


@dataclass(frozen=True)
class Workload:
    """One row of the table. `run` is what each client does; its requests are what is measured."""

    name: str
    run: Callable[[Visit], Awaitable[None]]
    sizes: Mapping[int, int]
    """Nominal size of the layer -> its share of the requests."""
    chunked: bool = False
    pull_percent: int = 100
    """How many of the requests are pulls, where pulls and pushes are mixed."""
    syncs: bool = False
    """The image is pushed to an upstream registry, and pulled from the one that is measured."""

    @property
    def mixes_sizes(self) -> bool:
        """Tell whether the layers' sizes are drawn for each request."""
        return len(self.sizes) > 1

    @property
    def mixes_pulls(self) -> bool:
        """Tell whether a request may be a pull or a push."""
        return self.pull_percent < 100


@dataclass
class Visit:
    """One client's part of a workload: what it has to work with, and what it saw."""

    workload: Workload
    requests: int
    client: LoadClient
    origin: LoadClient
    """Where images are pushed to: `client`, or the upstream of a workload that syncs."""
    blobs: Mapping[int, Blob]
    draws: random.Random
    prefix: str = ""
    records: list[Record] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """How often each size, or pull and push, was drawn."""
    pushed: list[str] = field(default_factory=list)
    """The repositories made here."""

    def draw_size(self) -> int:
        """Draw a size by the workload's shares, and count it."""
        size = self.draws.choices(list(self.workload.sizes), list(self.workload.sizes.values()))[0]
        self.counts[LABELS[size]] += 1
        return size

    async def push(self, size: int, tag: str) -> int:
        """Push an image with a layer of this nominal size to a new repository; return the last status."""
        repository = f"{self.prefix}/{uuid.uuid4()}" if self.prefix else str(uuid.uuid4())
        status = await push(self.origin, repository, tag, self.blobs[size], chunked=self.workload.chunked)
        self.pushed.append(repository)
        return status

    async def prepare(self, size: int) -> tuple[str, str]:
        """Push an image to be pulled later; return its repository and tag."""
        tag = f"tag{size}"
        await self.push(size, tag)
        return self.pushed[-1], tag

    async def record(self, request: Awaitable[int], first_bytes: FirstBytes | None = None) -> None:
        """Measure one request of the workload; one that fails is recorded as failed."""
        started_ns = time.perf_counter_ns()
        try:
            status, error = await request, None
        except RequestError as failure:
            status, error = failure.status, failure.reason
        self.records.append(Record(time.perf_counter_ns() - started_ns, status, error, first_bytes))

    async def record_pull(self, repository: str, tag: str) -> None:
        """Measure one pull."""
        first_bytes = FirstBytes()
        await self.record(pull(self.client, repository, tag, first_bytes), first_bytes)

    async def clean(self) -> None:
        """Delete what was pushed: where it is measured, and at the upstream."""
        await remove(self.client, self.pushed)
        if self.origin is not self.client:
            await remove(self.origin, self.pushed)


async def get_catalog(visit: Visit) -> None:
    """Push as many images as there will be requests, then list the repositories."""
    for _ in range(visit.requests):
        size = visit.draw_size()
        await visit.push(size, f"tag{size}")
    for _ in range(visit.requests):
        await visit.record(_catalog(visit.client))


async def _catalog(client: LoadClient) -> int:
    await client.send("GET", "/v2/_catalog", 200)
    return 200


async def push_images(visit: Visit) -> None:
    """Push each image to a repository of its own."""
    for number in range(visit.requests):
        size = visit.draw_size()
        await visit.record(visit.push(size, f"tag{number}"))


async def pull_images(visit: Visit) -> None:
    """Push an image of each size, then pull them."""
    images = {size: await visit.prepare(size) for size in visit.workload.sizes}
    for _ in range(visit.requests):
        await visit.record_pull(*images[visit.draw_size()])


async def pull_and_push(visit: Visit) -> None:
    """Push an image, then pull it or push others."""
    (size,) = visit.workload.sizes
    image = await visit.prepare(size)
    for number in range(visit.requests):
        if visit.draws.randrange(100) < visit.workload.pull_percent:
            visit.counts["Pull"] += 1
            await visit.record_pull(*image)
        else:
            visit.counts["Push"] += 1
            await visit.record(visit.push(size, f"tag{number}"))


_ONE_SIZE = {LABELS[size]: {size: 1} for size in (SMALL, MEDIUM, LARGE, HUGE)}
_MOSTLY_MEDIUM = {SMALL: 20, MEDIUM: 70, LARGE: 10}
_EVEN = {SMALL: 1, MEDIUM: 1, LARGE: 1}
_USUAL = tuple(LABELS[size] for size in USUAL_SIZES)

SUITE = (
    Workload("Get Catalog", get_catalog, {SMALL: 70, MEDIUM: 20, LARGE: 10}),
    *(Workload(f"Push Monolith {label}", push_images, _ONE_SIZE[label]) for label in _USUAL),
    *(Workload(f"Push Chunk Streamed {label}", push_images, _ONE_SIZE[label], chunked=True) for label in _USUAL),
    *(Workload(f"Pull {label}", pull_images, _ONE_SIZE[label]) for label in _USUAL),
    Workload("Pull Mixed 20% 1MB, 70% 10MB, 10% 100MB", pull_images, _MOSTLY_MEDIUM),
    Workload("Push Monolith Mixed 20% 1MB, 70% 10MB, 10% 100MB", push_images, _MOSTLY_MEDIUM),
    Workload("Push Chunk Mixed 33% 1MB, 33% 10MB, 33% 100MB", push_images, _EVEN, chunked=True),
    *(
        Workload(f"Pull 75% and Push 25% Mixed {label}", pull_and_push, _ONE_SIZE[label], pull_percent=75)
        for label in _USUAL
    ),
    *(Workload(f"On-demand Sync {label}", pull_images, _ONE_SIZE[label], syncs=True) for label in ("100MB", "1GB")),
)


def selected(pattern: re.Pattern[str] | None) -> list[Workload]:
    """Return the workloads whose name the pattern finds: all without one."""
    return [workload for workload in SUITE if pattern is None or pattern.search(workload.name)]
