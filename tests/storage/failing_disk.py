"""Twins of the disk whose operations can be made to fail, or are counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from zot.storage.disk import Disk, Operation

P = ParamSpec("P")
T = TypeVar("T")


class ObservedDisk(Disk):
    """A disk that remembers its operations, in the order in which they ended."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.operations: list[Operation] = []

    def perform(self, operation: Operation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it and remember it."""
        result = super().perform(operation, call, *args, **kwargs)
        self.operations.append(operation)
        return result

    def verbs(self) -> list[str]:
        """Return what was done."""
        return [operation.verb for operation in self.operations]


class FailingDisk(Disk):
    """A disk on which operations fail for which `fails` says with which errno (0: they succeed)."""

    def __init__(self, fails: Callable[[Operation], int]) -> None:
        """Ask `fails` before each operation."""
        self.fails = fails

    def perform(self, operation: Operation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it, or fail."""
        if number := self.fails(operation):
            raise OSError(number, os.strerror(number), operation.path)
        return super().perform(operation, call, *args, **kwargs)


class NthFails(Disk):
    """A disk whose operation number `nth` (from 0) fails with an errno, or writes one byte if it is a write."""

    def __init__(self, error: int | None) -> None:
        """Fail with that errno; None: the operation is a short write if it is a write, and succeeds otherwise."""
        self._error = error
        self.nth = -1
        self.count = 0

    def arm(self, nth: int) -> None:
        """Count from here; let that operation fail."""
        self.nth = nth
        self.count = 0

    def disarm(self) -> bool:
        """Fail no more; tell whether the operation to fail was reached."""
        reached = 0 <= self.nth < self.count
        self.nth = -1
        return reached

    def perform(self, operation: Operation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it, or fail."""
        number = self.count
        self.count += 1
        if number == self.nth:
            if self._error is not None:
                raise OSError(self._error, os.strerror(self._error), operation.path)
            if operation.verb == "write":
                return call(*_one_byte_of(args), **kwargs)  # type: ignore[arg-type] # the write's own arguments
        return super().perform(operation, call, *args, **kwargs)


def _one_byte_of(write: Sequence[object]) -> tuple[object, ...]:
    descriptor, pieces, offset = write
    assert isinstance(pieces, Sequence)
    return descriptor, [pieces[0][:1]], offset
