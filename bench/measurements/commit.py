"""The price of durability: the same pushes with `storage.commit: false`, which answers before the disk has them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench.client import Client
from bench.context import Context
from bench.figures import Figure, alternate
from bench.measurements.blob_push import Blobs
from bench.measurements.tag_push import pusher
from bench.registries import Setup

REPOSITORY = "bench/commit"
BLOB_BYTES = 10_000_000


def measure(context: Context) -> Iterator[Figure]:
    """Push a tag, then a blob of 10 MB, over one connection: durable by default, in turns with `commit: false`."""
    with (
        context.serving(context.zot, "durable") as durable,
        context.serving(context.zot, "fast", Setup(commit=False)) as fast,
        ExitStack() as stack,
    ):
        registries = {"durable": durable, "commit: false": fast}
        clients = {name: stack.enter_context(Client(registry)) for name, registry in registries.items()}
        tags: dict[str, Callable[[], float]] = {
            name: pusher(clients[name], registry, REPOSITORY, 1) for name, registry in registries.items()
        }
        samples = alternate(tags, 20 if context.quick else 200, lambda push: push())
        yield Figure("tag push, durable", "ms", samples.pop("durable"), samples, more_is_better=False)

        blobs = Blobs(BLOB_BYTES)

        def push_ms(client: Client) -> float:
            return blobs.push_seconds(client, REPOSITORY) * 1000

        samples = alternate(clients, context.runs * 3, push_ms)
        yield Figure("blob push of 10 MB, durable", "ms", samples.pop("durable"), samples, more_is_better=False)
