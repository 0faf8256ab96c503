"""How much memory the registry takes, idle and while a large layer goes in and out."""

import time
from collections.abc import Iterator

from bench import images, indexed, memory, streams
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, Sample
from bench.measurements import pages
from bench.registries import Registry, Setup

REPOSITORY = "bench/memory"
LAYER_BYTES = 1 << 30
SETTLE_S = 2
_VISITS = 40


def measure(context: Context) -> Iterator[Figure]:
    """Sum the memory (PSS) of all processes: idle, as one process, by default, with search; at its peak under a layer.

    The layer of 1 GiB is pushed, then pulled, over one connection. Search and pages have been used by each process
    that answers requests, as a visitor does. A zot with search takes 185 MB.
    """
    size = LAYER_BYTES // 16 if context.quick else LAYER_BYTES
    with context.serving(context.zot, "memory-single", Setup(workers=0)) as registry:
        single = _idle(registry)
    with context.serving(context.zot, "memory-search", Setup(search=True)) as registry:
        searched = _visited(registry)
    with context.both("memory") as registries:
        started_here = {name: registry for name, registry in registries.items() if registry.process}
        idle = {name: _idle(registry) for name, registry in started_here.items()}
        growth = {name: _growth(registry, size) for name, registry in started_here.items()}
    zot = context.zot.name
    beside = {name: sample for name, sample in idle.items() if name != zot}
    yield Figure("memory idle, single process", "MB", single, beside, more_is_better=False, aim="≤ 80")
    yield Figure("memory idle, default", "MB", idle.pop(zot), idle, more_is_better=False, aim="≤ 220")
    what = "memory idle, with search and pages"
    yield Figure(what, "MB", searched, more_is_better=False, aim="≤ 260")
    for number, way in enumerate(("push", "pull")):
        samples = {name: grown[number] for name, grown in growth.items()}
        what = f"memory growth, {way} of {size >> 20} MiB"
        yield Figure(what, "MB", samples.pop(zot), samples, more_is_better=False, aim="≤ 64 MiB")


def _idle(registry: Registry) -> Sample:
    with Client(registry) as client:
        client.ask("GET", "/v2/", expected=200)
    time.sleep(SETTLE_S)
    return Sample.of([memory.pss_mb(registry.pid)])


def _visited(registry: Registry) -> Sample:
    """Return the memory once pages and queries have been asked for, over connections that reach every process."""
    for _ in range(_VISITS):
        with Client(registry) as client:
            images.push_image(client, REPOSITORY, "latest")
            for path in ("/explore", f"/image/{REPOSITORY.replace('/', '%2F')}", indexed.graphql(pages.HOME)):
                client.ask("GET", path, expected=200)
    return _idle(registry)


def _growth(registry: Registry, size: int) -> tuple[Sample, Sample]:
    """Return by how many MB the memory grew in a push of `size` bytes, then in a pull."""
    before_mb = memory.pss_mb(registry.pid)
    with memory.watching(registry.pid) as pushing:
        digest = streams.push_blob(registry, REPOSITORY, size)
    with memory.watching(registry.pid) as pulling:
        streams.bytes_per_second(registry, f"/v2/{REPOSITORY}/blobs/{digest}", 1, times=1)
    return Sample.of([max(0.0, pushing.mb - before_mb)]), Sample.of([max(0.0, pulling.mb - before_mb)])
