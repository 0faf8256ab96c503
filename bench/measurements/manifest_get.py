"""How many manifests a second are served by tag, whatever the number of tags."""

from collections.abc import Iterator
from functools import partial

from bench import images, load
from bench.context import Context
from bench.figures import Figure, alternate
from bench.load import Target
from bench.registries import Registry, Setup

REPOSITORY = "bench/tags-{}"
RUN_S = 2


def measure(context: Context) -> Iterator[Figure]:
    """Ask for a repository's tags at random over 8 connections, at full speed: median of short alternating runs.

    First with the log off, then as registries run in production: with access log, access control and metrics.
    """
    for setup, how, aim in (
        (Setup(), "bare", "≥ 20,000"),
        (Setup(access_log=True, policy=True), "logged", "≥ 12,000"),
    ):
        with context.both("tags", setup) as registries:
            for count in tag_counts(context):
                subjects = with_tags(context, registries, count)
                target = Target(f"/v2/{REPOSITORY.format(count)}/manifests/t{{}}", count)
                samples = alternate(subjects, context.runs, partial(_rate, target))
                what = f"manifest GET, tags: {count:,}, {how}"
                yield Figure(what, "/s", samples.pop(context.zot.name), samples, aim=aim)


def _rate(target: Target, registry: Registry) -> float:
    return load.get(registry, target, RUN_S).per_second


def tag_counts(context: Context) -> tuple[int, ...]:
    """Return the numbers of tags to measure at."""
    return (1, 100) if context.quick else (1, 1_000, 100_000)


def with_tags(context: Context, registries: dict[str, Registry], count: int) -> dict[str, Registry]:
    """Push that many tags to each registry, and return them: above 1,000 tags to zot alone, for time's sake."""
    chosen = {name: each for name, each in registries.items() if count <= 1_000 or name == context.zot.name}
    for name, registry in chosen.items():
        context.say(f"pushing {count:,} tags to {name}")
        images.push_tags(registry, REPOSITORY.format(count), count)
    return chosen
