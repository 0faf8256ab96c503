"""A cache of manifests' bytes: each process reads a hot manifest from the catalog once."""

from __future__ import annotations

from zot.foundation.bounded_map import BoundedMap
from zot.oci.digest import Digest


class ContentCache:
    """Immutable bytes by digest, least recently used dropped first. Bounded in bytes.

    A hit does not mean that the content exists: ask the catalog for (repository, digest) first, in the same request.
    """

    def __init__(self, limit_bytes: int = 32 * 1024 * 1024, entry_limit_bytes: int = 1024 * 1024) -> None:
        """Hold at most `limit_bytes`, and nothing larger than `entry_limit_bytes`."""
        self._entry_limit_bytes = entry_limit_bytes
        self._contents: BoundedMap[Digest, bytes] = BoundedMap(limit_bytes, weigh=len)

    def get(self, digest: Digest) -> bytes | None:
        """Return the content, None if it is not in the cache."""
        return self._contents.use(digest)

    def put(self, digest: Digest, content: bytes) -> None:
        """Add content, if it is small enough."""
        if len(content) > self._entry_limit_bytes or digest in self._contents:
            return
        self._contents[digest] = content
