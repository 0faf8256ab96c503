"""Load by bare asyncio protocols, where wrk is not installed: it knows of HTTP what this needs, and no more."""

import asyncio
import random
import time
from collections.abc import Callable

from bench.client import ACCEPT, UnexpectedAnswerError
from bench.registries import Registry

_LENGTH = b"content-length:"


def run(registry: Registry, path: str, count: int, duration_s: int, connections: int) -> tuple[float, float]:
    """Return requests a second and the 99th percentile in milliseconds; UnexpectedAnswerError if any failed."""
    headers = {"Host": "127.0.0.1", "Accept": ACCEPT, **registry.headers}
    rest = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    def request() -> bytes:
        target = path.replace("{}", str(random.randrange(count)))
        return f"GET {target} HTTP/1.1\r\n{rest}\r\n".encode()

    return asyncio.run(_run(registry.address, request, duration_s, connections))


async def _run(
    address: tuple[str, int], request: Callable[[], bytes], duration_s: int, connections: int
) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    asking = [(await loop.create_connection(lambda: _Asking(request), *address))[1] for _ in range(connections)]
    started = time.perf_counter()
    for connection in asking:
        connection.ask()
    await asyncio.sleep(duration_s)
    elapsed = time.perf_counter() - started
    for connection in asking:
        connection.close()
    if failures := [connection.failure for connection in asking if connection.failure]:
        raise UnexpectedAnswerError(failures[0])
    latencies = sorted(latency for connection in asking for latency in connection.latencies)
    return len(latencies) / elapsed, latencies[len(latencies) * 99 // 100] * 1000


class _Asking(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: Callable[[], bytes]) -> None:
        self.latencies: list[float] = []
        self.failure: str | None = None
        self._request = request
        self._received = bytearray()
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self.failure = self.failure or f"the registry closed a connection: {exc}"

    def ask(self) -> None:
        """Send the next request."""
        self._asked_at = time.perf_counter()
        self._transport.write(self._request())

    def close(self) -> None:
        """Ask no more."""
        self._closing = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.failure = f"a GET was answered with {bytes(head[:64])!r}"
            self.close()
            return
        self.latencies.append(time.perf_counter() - self._asked_at)
        self._received.clear()
        if not self._closing:
            self.ask()


def _content_length(head: bytes | bytearray) -> int:
    return next(int(line[len(_LENGTH) :]) for line in head.lower().split(b"\r\n") if line.startswith(_LENGTH))
