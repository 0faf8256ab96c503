"""What the parts of a sweep share: steps with pauses, batches, and statistics."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from zot.maintenance.units import size

T = TypeVar("T")

Pauses = AsyncGenerator[float, None]
"""Work in steps: after each step it yields the least number of seconds to wait before the next."""

_TOGETHER = 32


@dataclass(slots=True)
class SweepStats:
    """The statistics of a sweep."""

    repositories: int = 0
    tags: int = 0
    manifests: int = 0
    blobs: int = 0
    bytes: int = 0
    uploads: int = 0
    removed_repositories: int = 0
    waiting: int = 0
    """Unreferenced blobs and manifests whose delay has not passed."""

    def __str__(self) -> str:
        return (
            f"{self.repositories} repositories: removed {self.tags} tags, {self.manifests} manifests, {self.blobs} "
            f"blobs ({size(self.bytes)}), {self.uploads} uploads, {self.removed_repositories} repositories; "
            f"{self.waiting} waiting"
        )


def batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split rows into batches whose commands run concurrently, so that they share a commit and a sync of the disk."""
    return (rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER))
