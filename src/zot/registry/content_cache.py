"""Manifest bytes by digest, so that a hot manifest is read from the catalog once a process."""

from __future__ import annotations

from zot.foundation.bounded_map import BoundedMap
from zot.oci.digest import Digest


class ContentCache:
    """Immutable bytes by digest, the least recently used going first. Bounded in bytes.

    It says nothing about what exists: ask the catalog for (repository, digest) first, in the same request.
    """

    def __init__(self, limit_bytes: int = 32 * 1024 * 1024, entry_limit_bytes: int = 1024 * 1024) -> None:
        """Take the bound of all, and of one: larger content is not kept."""
        self._entry_limit_bytes = entry_limit_bytes
        self._contents: BoundedMap[Digest, bytes] = BoundedMap(limit_bytes, weigh=len)

    def get(self, digest: Digest) -> bytes | None:
        """Return the content, None if it is not kept."""
        return self._contents.use(digest)

    def put(self, digest: Digest, content: bytes) -> None:
        """Keep content, if it is small enough."""
        if len(content) > self._entry_limit_bytes or digest in self._contents:
            return
        self._contents[digest] = content
