"""Processes large manifests one at a time, so that small requests are served beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from zot.registry.errors import Unavailable

LARGE_BYTES = 64 * 1024
"""A manifest of more bytes is large: it is parsed in a thread, since it may take a second."""

# Of the time of a process, and of the catalog's writer, large manifests take a quarter: after each comes a rest.
_REST = 3.0
_REST_LIMIT_S = 1.0
_WAIT_LIMIT_S = 30.0


P = ParamSpec("P")
T = TypeVar("T")


class LargeManifests:
    """The queue of large manifests of a process, first come, first served."""

    def __init__(self) -> None:
        """Begin with an empty queue."""
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="zot-manifest")

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in the one thread for large manifests, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(job, *args, **kwargs))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, which ends with the block; the next one begins after a rest.

        Raises Unavailable if it does not begin within half a minute: clients have given up by then.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_WAIT_LIMIT_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise Unavailable("too many large manifests are being pushed", retry_after_s=5) from error
        began_s = loop.time()
        try:
            yield
        finally:
            rest_s = min(_REST_LIMIT_S, (loop.time() - began_s) * _REST)
            loop.call_later(rest_s, self._turn.release)
