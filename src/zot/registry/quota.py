"""How many bytes a repository may hold, and how many repositories there may be."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zot.oci.names import Repository


@dataclass(frozen=True, slots=True)
class ByteQuota:
    """A limit for each repository that `matches`."""

    matches: Callable[[str], bool]
    limit_bytes: int


class Quotas:
    """The limits of the configuration. Conditions of the catalog's commands enforce them."""

    def __init__(self, bytes_: Sequence[ByteQuota] = (), repositories: int | None = None) -> None:
        """Take the byte quotas, the first match deciding, and the limit on repositories."""
        self._bytes = tuple(bytes_)
        self.repositories = repositories
        self.bytes_of = functools.lru_cache(maxsize=4096)(self._bytes_of) if self._bytes else self._unlimited

    def _bytes_of(self, repository: Repository) -> int | None:
        return next((quota.limit_bytes for quota in self._bytes if quota.matches(repository)), None)

    @staticmethod
    def _unlimited(repository: Repository) -> int | None:  # noqa: ARG004
        return None
