"""What the parts of a sweep share: steps with pauses between, batches, and the count of what was done."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from zot.maintenance.units import size

T = TypeVar("T")

Pauses = AsyncGenerator[float, None]
"""Work in steps: after each it yields how many seconds the next has to wait at least."""

_TOGETHER = 32


@dataclass(slots=True)
class SweepStats:
    """What a sweep did."""

    repositories: int = 0
    tags: int = 0
    manifests: int = 0
    blobs: int = 0
    bytes: int = 0
    uploads: int = 0
    removed_repositories: int = 0
    waiting: int = 0
    """Blobs and manifests that nothing keeps and whose delay has not passed."""

    def __str__(self) -> str:
        return (
            f"{self.repositories} repositories: removed {self.tags} tags, {self.manifests} manifests, {self.blobs} "
            f"blobs ({size(self.bytes)}), {self.uploads} uploads, {self.removed_repositories} repositories; "
            f"{self.waiting} waiting"
        )


def batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut rows into batches whose commands are given at once, so that they share a commit and a sync of the disk."""
    return (rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER))
