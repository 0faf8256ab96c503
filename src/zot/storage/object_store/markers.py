"""Markers: empty objects that stand for content of another repository, as zot's deduplication leaves them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from zot.oci.digest import Digest, InvalidDigestError, algorithm_of, digest_of, parse_digest
from zot.oci.names import InvalidNameError, Repository, parse_repository
from zot.storage.interface import StorageUnavailableError
from zot.storage.object_store.interface import ObjectInfo, ObjectMissingError, ObjectPart, ObjectStore, together

_log = logging.getLogger(__name__)

_COPIES_AT_ONCE = 16
# Markers that are about as old as the last list, by two clocks, may have come after it.
_CLOCKS_APART_S = 3600.0
_WAIT_S = 5.0
_EMPTY = {algorithm: digest_of(b"", algorithm) for algorithm in ("sha256", "sha512")}


class Markers:
    """Puts content where markers are: copies that the object store makes itself, so that each repository is complete.

    Which repository has the content is found by listing the whole store, twice: the second list is only searched for
    what the markers of the first stand for. So memory grows with the number of digests that have a marker, and a store
    without any is not listed.
    """

    def __init__(self, objects: ObjectStore) -> None:
        """Restore content of `objects`."""
        self._objects = objects
        self._originals: dict[Digest, ObjectPart] = {}
        self._listed_s = 0.0
        self._listing = asyncio.Lock()
        self._copies = asyncio.Semaphore(_COPIES_AT_ONCE)
        self._restoring: asyncio.Task[None] | None = None

    async def restore(self, repository: Repository | None = None) -> None:
        """Replace the markers of a repository, or of all, by the content that they stand for. Idempotent.

        A marker without an original stays: its content is missing. Raises StorageError.
        """
        restored = 0
        async for batch in self._objects.list("" if repository is None else f"{repository}/blobs/"):
            markers = {info: digest for info in batch if (digest := marked_digest(info)) is not None}
            if markers:
                await self._find(markers.items())
                restored += sum(await together([self._restore(*marker) for marker in markers.items()]))
        if restored:
            _log.info("%d empty objects of %s have their content now", restored, repository or self._objects.location)

    async def restore_one(self, marker: ObjectInfo, digest: Digest) -> None:
        """Replace a marker by the content that it stands for, if there is an original. Raises StorageError."""
        await self._find([(marker, digest)])
        await self._restore(marker, digest)

    async def require_none(self) -> None:
        """Return once no marker is left of those that were there when this process first called it.

        Before, no content may be removed: it may be the original of a marker. Raises StorageUnavailableError if that
        takes longer than a request should wait, and continues in the background; StorageError.
        """
        if self._restoring is None or (self._restoring.done() and not _succeeded(self._restoring)):
            self._restoring = asyncio.create_task(self.restore())
        done, _ = await asyncio.wait({self._restoring}, timeout=_WAIT_S)
        if not done:
            raise StorageUnavailableError(
                f"{self._objects.location}: nothing is removed before empty objects have the content of others"
            )
        self._restoring.result()

    async def close(self) -> None:
        """Cancel what `require_none` began."""
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.wait({self._restoring})

    async def _restore(self, marker: ObjectInfo, digest: Digest) -> bool:
        original = self._originals.get(digest)
        if original is None or original.key == marker.key:  # restored since it was listed
            return False
        async with self._copies:
            try:
                await self._objects.assemble([original], marker.key)
            except ObjectMissingError:
                self._originals.pop(digest, None)
                return False
        return True

    async def _find(self, markers: Iterable[tuple[ObjectInfo, Digest]]) -> None:
        """Find the originals of markers, unless the last list was begun later than they were made, or seen."""
        seen_s = time.time()
        async with self._listing:
            unknown = [marker for marker, digest in markers if digest not in self._originals]
            may_be_newer = any(marker.modified_s > self._listed_s - _CLOCKS_APART_S for marker in unknown)
            if may_be_newer and self._listed_s < seen_s:
                begun_s = time.time()
                self._originals = await self._list()
                self._listed_s = begun_s

    async def _list(self) -> dict[Digest, ObjectPart]:
        wanted: set[Digest] = set()
        async for batch in self._objects.list(""):
            wanted.update(digest for info in batch if (digest := marked_digest(info)) is not None)
        found: dict[Digest, ObjectPart] = {}
        async for batch in self._objects.list(""):
            for info in batch:
                digest = _content(info.key) if info.size else None
                if digest in wanted:
                    found[digest] = ObjectPart(info.key, info.size)
        if len(found) < len(wanted):
            _log.warning(
                "%s: %d digests have only empty objects: their content is missing until it is pushed again",
                self._objects.location,
                len(wanted) - len(found),
            )
        return found


def _succeeded(task: asyncio.Task[None]) -> bool:
    return not task.cancelled() and task.exception() is None


def marked_digest(info: ObjectInfo) -> Digest | None:
    """Return the digest of the content that an object stands for, None unless it is a marker."""
    if info.size:
        return None
    digest = _content(info.key)
    return None if digest is None or digest == _EMPTY.get(algorithm_of(digest)) else digest


def _content(key: str) -> Digest | None:
    """Return the digest of a repository's content, None for the key of anything else."""
    path, _, encoded = key.rpartition("/")
    path, _, algorithm = path.rpartition("/")
    repository, _, name = path.rpartition("/")
    if name != "blobs":
        return None
    try:
        parse_repository(repository)
        return parse_digest(f"{algorithm}:{encoded}")
    except (InvalidNameError, InvalidDigestError):
        return None
