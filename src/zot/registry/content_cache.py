"""Manifest bytes by digest, so that a hot manifest is read from the catalog once a process."""

from __future__ import annotations

from collections import OrderedDict

from zot.oci.digest import Digest


class ContentCache:
    """Immutable bytes by digest, the least recently used going first. Bounded in bytes.

    It says nothing about what exists: ask the catalog for (repository, digest) first, in the same request.
    """

    def __init__(self, limit_bytes: int = 32 * 1024 * 1024, entry_limit_bytes: int = 1024 * 1024) -> None:
        """Take the bound of all, and of one: larger content is not kept."""
        self._limit_bytes = limit_bytes
        self._entry_limit_bytes = entry_limit_bytes
        self._bytes = 0
        self._contents: OrderedDict[Digest, bytes] = OrderedDict()

    def get(self, digest: Digest) -> bytes | None:
        """Return the content, None if it is not kept."""
        content = self._contents.get(digest)
        if content is not None:
            self._contents.move_to_end(digest)
        return content

    def put(self, digest: Digest, content: bytes) -> None:
        """Keep content, if it is small enough."""
        if len(content) > self._entry_limit_bytes or digest in self._contents:
            return
        self._contents[digest] = content
        self._bytes += len(content)
        while self._bytes > self._limit_bytes:
            _, gone = self._contents.popitem(last=False)
            self._bytes -= len(gone)
