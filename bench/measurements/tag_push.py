"""How long it takes to move a tag, durably, whatever the number of tags."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import disk, images
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, alternate
from bench.measurements.manifest_get import REPOSITORY, tag_counts, with_tags
from bench.registries import Registry


def measure(context: Context) -> Iterator[Figure]:
    """Push a small image's manifest under a new tag over one connection, in turns with an fsync of the same disk.

    The aim is 2 ms plus one such fsync, the same from the first to the last number of tags.
    """
    runs = 20 if context.quick else 200
    for count in tag_counts(context):
        with context.both("tags") as registries, ExitStack() as stack:
            subjects: dict[str, Callable[[], float]] = {
                name: pusher(stack.enter_context(Client(registry)), registry, REPOSITORY.format(count), count)
                for name, registry in with_tags(context, registries, count).items()
            }
            subjects["fsync of the disk"] = fsync(context.store(context.zot, "tags"))
            samples = alternate(subjects, runs, lambda subject: subject())
        what = f"tag push, tags: {count:,}"
        aim = "≤ 2 + fsync"
        yield Figure(what, "ms", samples.pop(context.zot.name), samples, more_is_better=False, aim=aim)


def pusher(client: Client, registry: Registry, repository: str, count: int) -> Callable[[], float]:
    """Return what pushes the repository's image under one more tag each time, and returns the milliseconds."""
    content = images.push_tags(registry, repository, count)
    pushed = 0

    def push() -> float:
        nonlocal pushed
        pushed += 1
        tag = f"new-{time.time_ns()}-{pushed}"
        started = time.perf_counter()
        client.put_manifest(repository, tag, content)
        return (time.perf_counter() - started) * 1000

    return push


def fsync(folder: Path) -> Callable[[], float]:
    """Return what measures one fsync in the folder, in milliseconds."""
    return lambda: disk.fsync_ms(folder)
