"""Quotas: how many bytes repositories may hold, and how many repositories there may be."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from zot.catalog.quotas import OverQuota, RepositoryQuota, matches
from zot.oci.names import Repository
from zot.registry.errors import QuotaExceeded


@dataclass(frozen=True, slots=True)
class ByteQuota:
    """A limit for the repositories that match one of the patterns: for all of them together, or for each alone."""

    patterns: tuple[str, ...]
    limit_bytes: int
    each: bool = False


class Quotas:
    """The limits of the configuration. Conditions of the catalog's commands enforce them."""

    def __init__(self, bytes_: Sequence[ByteQuota] = (), repositories: int | None = None) -> None:
        """Limit bytes by `bytes_`, and the number of repositories; None: no limit."""
        self._bytes = tuple(bytes_)
        self.repositories = repositories
        self.of = functools.lru_cache(maxsize=4096)(self._of) if self._bytes else self._unlimited

    def _of(self, repository: Repository) -> tuple[RepositoryQuota, ...]:
        """Return every total that the repository is part of, after the first limit that is meant for it alone."""
        holding = [quota for quota in self._bytes if matches(quota.patterns, repository)]
        alone = [RepositoryQuota(quota.limit_bytes) for quota in holding if quota.each][:1]
        return (*alone, *(RepositoryQuota(quota.limit_bytes, quota.patterns) for quota in holding if not quota.each))

    @staticmethod
    def _unlimited(repository: Repository) -> tuple[RepositoryQuota, ...]:  # noqa: ARG004
        return ()


def exceeded(repository: Repository, refused: OverQuota) -> QuotaExceeded:
    """Return the error that says what is left of the quota."""
    left = max(0, refused.limit - refused.used)
    whose = f" for {', '.join(refused.patterns)}" if refused.patterns else ""
    message = f"the quota of {refused.limit} bytes{whose} has {left} bytes left"
    return QuotaExceeded(message, name=repository, limit=refused.limit, left=left)
