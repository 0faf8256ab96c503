"""How soon an index has all images of a store, and what pulls notice of it."""

from collections.abc import Iterator
from threading import Event, Thread

from bench import indexed, load
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, Sample
from bench.load import Target
from bench.registries import Registry

RUN_S = 2


def measure(context: Context) -> Iterator[Figure]:
    """Start with search on a store of 100,000 images without an index; then again, with manifest GETs meanwhile.

    The GETs come over 8 connections at full speed, in runs of 2 s, first while the index is filled and then beside it.
    """
    side = context.zot
    size = indexed.prepare(context, side)
    indexed.forget_index(context, side)
    with context.serving(side, indexed.STORE, indexed.SEARCH) as registry:
        filled_s = indexed.fill_s(registry, size)
    count = f"{size.images:,} images, {size.tags:,} tags"
    yield Figure(f"index of {count}: filled", "s", Sample.of([filled_s]), more_is_better=False, aim="≤ 60")
    megabytes = indexed.index_bytes(context, side) / 1e6
    yield Figure(f"index of {count}: on the disk", "MB", Sample.of([megabytes]), more_is_better=False)
    indexed.forget_index(context, side)
    with context.serving(side, indexed.STORE, indexed.SEARCH) as registry:
        meanwhile = _p99s_ms(registry, size)
        after = [_p99_ms(registry, size) for _ in meanwhile]
    beside = {"with a filled index": Sample.of(after)}
    what = "manifest GET, p99 while an index is filled"
    yield Figure(what, "ms", Sample.of(meanwhile), beside, more_is_better=False, aim="as without")


def _p99s_ms(registry: Registry, size: indexed.Scale) -> list[float]:
    """Return the percentiles of runs until the index is filled."""
    filled = Event()

    def watch() -> None:
        with Client(registry) as client:
            while indexed.indexed_tags(client) < size.tags and not filled.wait(RUN_S):
                pass
        filled.set()

    watcher = Thread(target=watch, name="bench-index", daemon=True)
    watcher.start()
    found = [_p99_ms(registry, size)]
    while not filled.is_set():
        found.append(_p99_ms(registry, size))
    return found


def _p99_ms(registry: Registry, size: indexed.Scale) -> float:
    return load.get(registry, Target(f"/v2/{indexed.MANY}/manifests/v{{}}", size.many), RUN_S).p99_ms
