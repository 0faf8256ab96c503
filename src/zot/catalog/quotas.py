"""How many bytes repositories may hold: a condition of the commands that make them grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from zot.config.globs import compile_glob
from zot.oci.names import Repository


class RepositoryQuota(msgspec.Struct, frozen=True):
    """A limit of bytes: for all repositories that match one of the globs together, without globs for one alone.

    All of a repository's bytes count, also those that it shares with another one.
    """

    limit_bytes: int
    patterns: tuple[str, ...] = ()


class OverQuota(msgspec.Struct, frozen=True, tag=True):
    """Not stored: a limit is reached."""

    limit: int
    used: int
    of_repositories: bool
    """The limit on the number of repositories, else one on bytes."""
    patterns: tuple[str, ...] = ()
    """Of the quota of bytes."""


def matches(patterns: Sequence[str], repository: Repository) -> bool:
    """Tell whether one of the globs matches."""
    return "**" in patterns or any(compile_glob(pattern).matches(repository) for pattern in patterns)


def exceeded_quota(
    quotas: Sequence[RepositoryQuota], growth_bytes: int, used: Callable[[RepositoryQuota], int]
) -> OverQuota | None:
    """Return the first quota that would be exceeded, None if none is. `used` returns what is used of each.

    A change that adds no bytes is never refused.
    """
    for quota in quotas if growth_bytes > 0 else ():
        held = used(quota)
        if held + growth_bytes > quota.limit_bytes:
            return OverQuota(quota.limit_bytes, held, of_repositories=False, patterns=quota.patterns)
    return None
