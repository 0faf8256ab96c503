"""How long manifests take while blobs are being pulled."""

from collections.abc import Iterator

from bench import images, load, streams
from bench.context import Context
from bench.figures import Figure, alternate
from bench.load import Target
from bench.registries import Registry, Setup

REPOSITORY = "bench/latency"
STREAMS = 4
RUN_S = 3


def measure(context: Context) -> Iterator[Figure]:
    """Ask for one manifest over 8 connections at full speed while 4 others pull a large blob: 99th percentile."""
    size = streams.blob_bytes(context)
    blobs: dict[str, str] = {}

    def p99_ms(registry: Registry) -> float:
        with streams.pulling(registry, f"/v2/{REPOSITORY}/blobs/{blobs[registry.name]}", STREAMS):
            return load.get(registry, Target(f"/v2/{REPOSITORY}/manifests/t0"), RUN_S).p99_ms

    with context.both("latency", Setup(access_log=True, policy=True)) as registries:
        for name, registry in registries.items():
            blobs[name] = streams.push_blob(registry, REPOSITORY, size)
            images.push_tags(registry, REPOSITORY, 1)
        samples = alternate(registries, context.runs, p99_ms)
    ours = samples.pop(context.zot.name)
    what = f"manifest GET, p99 beside {STREAMS} blob streams"
    yield Figure(what, "ms", ours, samples, more_is_better=False, aim="≤ 10")
