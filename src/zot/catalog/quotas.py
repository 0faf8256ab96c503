"""How many bytes repositories may hold: a condition of the commands that make them grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from zot.oci.globs import compile_glob
from zot.oci.names import Repository


class RepositoryQuota(msgspec.Struct, frozen=True):
    """A limit of bytes: for all repositories that match one of the globs together, without globs for one alone.

    What a repository holds counts in it, also what another one of them shares with it.
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


def no_room(
    quotas: Sequence[RepositoryQuota], growth_bytes: int, used: Callable[[RepositoryQuota], int]
) -> OverQuota | None:
    """Return the first of the quotas that would be exceeded, given what is used of each; what does not grow may."""
    for quota in quotas if growth_bytes > 0 else ():
        held = used(quota)
        if held + growth_bytes > quota.limit_bytes:
            return OverQuota(quota.limit_bytes, held, of_repositories=False, patterns=quota.patterns)
    return None
