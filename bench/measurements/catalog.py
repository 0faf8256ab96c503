"""How long the list of repositories takes when there are many."""

import time
from collections.abc import Iterator

from bench import images
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, alternate
from bench.registries import Registry

REPOSITORIES = 10_000
PAGE = 100


def measure(context: Context) -> Iterator[Figure]:
    """Ask for the first 100 of 10,000 repositories over one connection: median of the times."""
    count = REPOSITORIES // 100 if context.quick else REPOSITORIES
    with context.both("catalog") as registries:
        for name, registry in registries.items():
            context.say(f"pushing {count:,} repositories to {name}")
            images.push_repositories(registry, "bench", count)
        samples = alternate(registries, context.runs * 3, _first_page_ms)
    what = f"catalog, first {PAGE} of {count:,}"
    yield Figure(what, "ms", samples.pop(context.zot.name), samples, more_is_better=False, aim="≤ 2")


def _first_page_ms(registry: Registry) -> float:
    with Client(registry) as client:
        client.ask("GET", "/v2/", expected=200)
        started = time.perf_counter()
        client.ask("GET", f"/v2/_catalog?n={PAGE}", expected=200)
        return (time.perf_counter() - started) * 1000
