"""How fast a large blob is taken, durably."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench import disk
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, alternate
from zot.oci.digest import digest_of

REPOSITORY = "bench/push"
BLOB_BYTES = 200_000_000


class Blobs:
    """Blobs of one size, each of them new to every registry."""

    def __init__(self, size: int) -> None:
        """Make the content that they have in common: random, so that nothing is won by compression or holes."""
        self.content = bytearray(os.urandom(size))
        self._pushed = 0

    def push_seconds(self, client: Client, repository: str) -> float:
        """Push the next blob, by POST and PUT; return how long that took."""
        self._pushed += 1
        self.content[:8] = self._pushed.to_bytes(8)
        digest = digest_of(self.content)
        started = time.perf_counter()
        client.push_blob(repository, self.content, digest)
        return time.perf_counter() - started


def measure(context: Context) -> Iterator[Figure]:
    """Push a blob of 200 MB over one connection, in turns with writing and syncing as much without a registry."""
    blobs = Blobs(BLOB_BYTES // 10 if context.quick else BLOB_BYTES)
    size_mb = len(blobs.content) / 1e6

    def pusher(client: Client) -> Callable[[], float]:
        return lambda: size_mb / blobs.push_seconds(client, REPOSITORY)

    with context.both("push") as registries, ExitStack() as stack:
        subjects = {name: pusher(stack.enter_context(Client(registry))) for name, registry in registries.items()}
        folder = context.store(context.zot, "push")
        subjects["write and fsync"] = lambda: size_mb / disk.write_seconds(folder, blobs.content)
        samples = alternate(subjects, context.runs, lambda subject: subject())
    what = f"blob push of {size_mb:.0f} MB"
    yield Figure(what, "MB/s", samples.pop(context.zot.name), samples, aim="≥ docker-registry's")
