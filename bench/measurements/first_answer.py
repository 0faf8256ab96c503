"""How soon a start answers its first request."""

import time
from collections.abc import Iterator

from bench import images
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, Sample

REPOSITORIES = 100
PREFIX = "bench/start"


def measure(context: Context) -> Iterator[Figure]:
    """Start on 100 repositories, again and again, on both in turns, after each was killed.

    Measured from the start of the process until a client that asks as soon as it is ready has a manifest.
    """
    with context.both("first-answer") as registries:
        started_here = {name for name, registry in registries.items() if registry.process}
        for registry in registries.values():
            images.push_repositories(registry, PREFIX, REPOSITORIES)
    sides = [side for side in (context.zot, context.peer) if side and side.name in started_here]
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(context.runs):
        for side in sides:
            began = time.perf_counter()
            with context.serving(side, "first-answer") as registry, Client(registry) as client:
                client.ask("GET", f"/v2/{PREFIX}/r{0:05}/manifests/latest", expected=200)
                seconds[side.name].append(time.perf_counter() - began)
    samples = {name: Sample.of(values) for name, values in seconds.items()}
    what = f"first answer of a start on {REPOSITORIES} repositories"
    yield Figure(what, "s", samples.pop(context.zot.name), samples, more_is_better=False, aim="≤ 0.4")
