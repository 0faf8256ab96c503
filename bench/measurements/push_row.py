"""Whether thousands of pushes in a row, all within a minute, make the next one slower."""

import time
from collections.abc import Iterator

from bench import images
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, Sample
from bench.registries import Registry

REPOSITORY = "bench/push-row"


def measure(context: Context) -> Iterator[Figure]:
    """Push 5,000 manifests, each under a tag of its own, over one connection; compare the last 500 with the first.

    The aim is the same time: what the server remembers of the last minute costs a push nothing.
    """
    count, part = (500, 50) if context.quick else (5000, 500)
    with context.both("push-row") as registries:
        taken_ms = {name: _pushes_ms(registry, count) for name, registry in registries.items()}
    ours = taken_ms[context.zot.name]
    first = {f"{name}, first {part:,}": Sample.of(each[:part]) for name, each in taken_ms.items()}
    last = {f"{name}, last {part:,}": Sample.of(each[-part:]) for name, each in taken_ms.items()}
    last.pop(f"{context.zot.name}, last {part:,}")
    what = f"tag push, the last {part:,} of {count:,} in a row"
    yield Figure(what, "ms", Sample.of(ours[-part:]), {**first, **last}, more_is_better=False, aim="as the first")


def _pushes_ms(registry: Registry, count: int) -> list[float]:
    """Push manifests of one layer and return how long each took."""
    taken_ms = []
    with Client(registry) as client:
        layer = b"layer of every image"
        client.push_blob(REPOSITORY, layer)
        client.push_blob(REPOSITORY, images.CONFIG)
        begun = time.time_ns()
        for number in range(count):
            content = images.manifest(layer, note=f"{begun}-{number}")
            started = time.perf_counter()
            client.put_manifest(REPOSITORY, f"p{begun}-{number}", content)
            taken_ms.append((time.perf_counter() - started) * 1000)
    return taken_ms
