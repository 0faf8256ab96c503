"""How fast a large blob is served, to one client and to four."""

from collections.abc import Iterator

from bench import streams
from bench.context import Context
from bench.figures import Figure, alternate
from bench.registries import Registry, Setup

REPOSITORY = "bench/pull"


def measure(context: Context) -> Iterator[Figure]:
    """Pull one blob from the page cache, over and over, by one connection, then by four at once."""
    yield from figures(context, Setup(), "blob pull", "≥ 1.8")


def figures(context: Context, setup: Setup, what: str, aim: str) -> Iterator[Figure]:
    """Give the rates of one stream and of four, of registries that run as `setup` says."""
    blobs: dict[str, str] = {}
    with context.both("pull", setup) as registries:
        for name, registry in registries.items():
            blobs[name] = streams.push_blob(registry, REPOSITORY, streams.blob_bytes(context))

        for connections, label in ((1, "one stream"), (4, "four streams")):

            def rate(registry: Registry, connections: int = connections) -> float:
                path = f"/v2/{REPOSITORY}/blobs/{blobs[registry.name]}"
                return streams.bytes_per_second(registry, path, connections, times=4 // connections) / 1e9

            samples = alternate(registries, context.runs, rate)
            yield Figure(f"{what}, {label}", "GB/s", samples.pop(context.zot.name), samples, aim=aim)
