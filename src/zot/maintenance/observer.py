"""The interface through which maintenance reports to metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Observer(Protocol):
    """Counts the work of background tasks."""

    def generator_added(self) -> None:
        """Count a task that was given to the scheduler."""

    def generators(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Set how many tasks there are, by priority (low, medium, high) and state (ready, waiting, done)."""

    def workers(self, places: int, working: int) -> None:
        """Set how many steps may run at once, and how many are running."""

    def queued(self, tasks: Mapping[str, int]) -> None:
        """Set how many tasks wait for a slot, by priority."""

    def task_ran(self, name: str, seconds: float) -> None:
        """Count a run that ended."""

    def collected(self, seconds: float, *, failed: bool) -> None:
        """Count a sweep of garbage collection."""

    def removed(self, kind: str, count: int = 1) -> None:
        """Count deletions by collection: `manifest`, `blob` or `upload`."""


class NoObserver:
    """An `Observer` that counts nothing."""

    def generator_added(self) -> None:
        """Do nothing."""

    def generators(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Do nothing."""

    def workers(self, places: int, working: int) -> None:
        """Do nothing."""

    def queued(self, tasks: Mapping[str, int]) -> None:
        """Do nothing."""

    def task_ran(self, name: str, seconds: float) -> None:
        """Do nothing."""

    def collected(self, seconds: float, *, failed: bool) -> None:
        """Do nothing."""

    def removed(self, kind: str, count: int = 1) -> None:
        """Do nothing."""
