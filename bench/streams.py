"""Streams of one large blob: pulled at full speed by connections of their own."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench.client import Client
from bench.context import Context
from bench.registries import Registry

BUFFER_BYTES = 1 << 20


def blob_bytes(context: Context) -> int:
    """Return the size of the blob that is pulled: small enough for the page cache, large enough to be a stream."""
    return (32 if context.quick else 256) << 20


def push_blob(registry: Registry, repository: str, size: int) -> str:
    """Push a blob of `size` bytes; return its digest."""
    # One random MiB, repeated: it costs little to make, and nothing here compresses it.
    content = bytearray(os.urandom(1 << 20)) * (size >> 20)
    with Client(registry) as client:
        return client.push_blob(repository, content)


def bytes_per_second(registry: Registry, path: str, connections: int, times: int) -> float:
    """Pull the blob `times` times over each of `connections` connections at once; return the rate of all together."""
    ready = threading.Barrier(connections + 1)

    def pull() -> int:
        buffer = bytearray(BUFFER_BYTES)
        with Client(registry) as client:
            client.ask("GET", "/v2/", expected=200)
            ready.wait()
            return sum(client.drain(path, buffer) for _ in range(times))

    with ThreadPoolExecutor(connections) as pool:
        pulling = [pool.submit(pull) for _ in range(connections)]
        ready.wait()
        started = time.perf_counter()
        received = sum(each.result() for each in pulling)
        return received / (time.perf_counter() - started)


@contextmanager
def pulling(registry: Registry, path: str, connections: int) -> Iterator[None]:
    """Pull the blob over `connections` connections, again and again, until the context ends."""
    done = threading.Event()

    def pull() -> None:
        buffer = bytearray(BUFFER_BYTES)
        with Client(registry) as client:
            while not done.is_set():
                client.drain(path, buffer)

    with ThreadPoolExecutor(connections) as pool:
        streams = [pool.submit(pull) for _ in range(connections)]
        try:
            yield
        finally:
            done.set()
        for stream in streams:
            stream.result()
