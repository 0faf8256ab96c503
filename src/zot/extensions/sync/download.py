"""A download of a blob from a mirrored registry: from one of its addresses, resumed where a connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

from zot.extensions.sync.credentials import DOCKER_HUB
from zot.oci.digest import Digest
from zot.registry.errors import Unavailable
from zot.upstream.client import UpstreamBlob, UpstreamClient
from zot.upstream.errors import UpstreamError

T = TypeVar("T")

_BROKEN_LIMIT = 1000
"""Connections of one download that may break after they brought some bytes."""


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """How a mirrored registry is asked."""

    check_interval_s: float
    """Age at which a tag is checked."""
    download_limit_s: float
    """Longest duration of one download."""
    resumes: int = 3
    """Attempts to go on with a download that brought nothing since the last one."""
    resume_delay_s: float = 1.0


class BlobDownload:
    """A blob on its way, from one connection after the other."""

    def __init__(
        self,
        clients: Sequence[UpstreamClient],
        remote: str,
        digest: Digest,
        settings: MirrorSettings,
        connection: AsyncExitStack,
    ) -> None:
        """Download from the first client that has it; `connection` closes what is open."""
        self._clients = clients
        self._remote = remote
        self._settings = settings
        self._digest = digest
        self._connection = connection

    async def open(self, start: int) -> UpstreamBlob | None:
        """Open the blob at the first address that has it. Raises Unavailable."""

        async def ask(client: UpstreamClient) -> UpstreamBlob | None:
            opening = client.blob(name_at(client, self._remote), self._digest, start)
            return await self._connection.enter_async_context(opening)

        return await first_answer(self._clients, ask)

    async def chunks(self, opened: UpstreamBlob, start: int) -> AsyncIterator[bytes]:
        """Iterate over the bytes from `start` on. Raises Unavailable."""
        settings, loop = self._settings, asyncio.get_running_loop()
        ends_s = loop.time() + settings.download_limit_s
        offset, size, breaks, in_vain = start, opened.size, 0, 0
        while True:
            failure: Exception
            try:
                async for chunk in opened.chunks:
                    offset += len(chunk)
                    in_vain = 0
                    yield chunk
                    if loop.time() > ends_s:
                        raise Unavailable(f"{self._digest} takes longer than {settings.download_limit_s:.0f} s")
                if offset >= size:
                    return
                failure = UpstreamError(f"the upstream sends {offset} of {size} bytes")
            except UpstreamError as error:
                failure = error
            while True:
                breaks, in_vain = breaks + 1, in_vain + 1
                if in_vain > settings.resumes or breaks > _BROKEN_LIMIT:
                    raise Unavailable(str(failure)) from failure
                await asyncio.sleep(settings.resume_delay_s)
                await self._connection.aclose()
                try:
                    again = await self.open(offset)
                except Unavailable as error:
                    failure = error
                    continue
                if again is None or again.size != size:
                    raise Unavailable(f"the upstream replaced {self._digest} while it was fetched")
                opened = again
                break


async def first_answer(clients: Sequence[UpstreamClient], ask: Callable[[UpstreamClient], Awaitable[T]]) -> T:
    """Return what the first client that can tell answers. Raises Unavailable with the first failure."""
    failed: UpstreamError | None = None
    for client in clients:
        try:
            return await ask(client)
        except UpstreamError as error:
            failed = failed or error
    assert failed is not None, "a registry has an address"
    raise Unavailable(str(failed), retry_after_s=failed.retry_after_s) from failed


def name_at(client: UpstreamClient, remote: str) -> str:
    """Return the name of a repository at an upstream: official images of Docker Hub are in `library`."""
    return f"library/{remote}" if client.url.host == DOCKER_HUB and "/" not in remote else remote
