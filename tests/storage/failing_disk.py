"""Disks that record their operations, or let some fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from zot.storage.disk import Disk, DiskOperation

P = ParamSpec("P")
T = TypeVar("T")


class ObservedDisk(Disk):
    """A disk that records its operations, in the order in which they ended."""

    def __init__(self) -> None:
        """Start with no record."""
        self.operations: list[DiskOperation] = []

    def perform(self, operation: DiskOperation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out the operation and record it."""
        result = super().perform(operation, call, *args, **kwargs)
        self.operations.append(operation)
        return result

    def verbs(self) -> list[str]:
        """Return the verbs of the operations."""
        return [operation.verb for operation in self.operations]


class FailingDisk(Disk):
    """A disk that fails each operation for which `fails` returns an errno other than 0."""

    def __init__(self, fails: Callable[[DiskOperation], int]) -> None:
        """Call `fails` before each operation."""
        self.fails = fails

    def perform(self, operation: DiskOperation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out the operation, or fail."""
        if number := self.fails(operation):
            raise OSError(number, os.strerror(number), operation.path)
        return super().perform(operation, call, *args, **kwargs)


class NthFails(Disk):
    """A disk that fails one operation with an errno; with None, it cuts one write to one byte."""

    def __init__(self, error: int | None) -> None:
        """Fail no operation before it is armed."""
        self._error = error
        self._left = -1
        self._verb: str | None = None
        self.failed_verb: str | None = None

    def arm(self, nth: int) -> None:
        """Fail the operation number `nth` from here, counted from 0."""
        self._left, self._verb, self.failed_verb = nth, None, None

    def arm_verb(self, verb: str, nth: int = 0) -> None:
        """Fail the operation number `nth` of that kind."""
        self._left, self._verb, self.failed_verb = nth, verb, None

    def disarm(self) -> bool:
        """Fail no more; return whether the armed operation was reached."""
        self._left = -1
        return self.failed_verb is not None

    def perform(self, operation: DiskOperation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out the operation, or fail."""
        if self._verb in {None, operation.verb} and self._left >= 0:
            self._left -= 1
            if self._left < 0:
                self.failed_verb = operation.verb
                if self._error is not None:
                    raise OSError(self._error, os.strerror(self._error), operation.path)
                if operation.verb == "write":
                    return call(*_shortened(operation, args, 1), **kwargs)  # type: ignore[arg-type] # the write's own arguments
        return super().perform(operation, call, *args, **kwargs)


class ShortDisk(Disk):
    """A disk that reads and writes a few bytes in each call."""

    def __init__(self, limit: int) -> None:
        """Transfer at most `limit` bytes in each call."""
        self._limit = limit

    def perform(self, operation: DiskOperation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out less than was asked for."""
        return call(*_shortened(operation, args, self._limit), **kwargs)  # type: ignore[arg-type] # of the same types


def _shortened(operation: DiskOperation, args: Sequence[object], limit: int) -> Sequence[object]:
    """Return the arguments of a system call that reads or writes no more than `limit` bytes; others unchanged."""
    match operation.verb:
        case "write":
            descriptor, _, offset = args
            return descriptor, [b"".join(operation.data)[:limit]], offset
        case "read":
            descriptor, length, offset = args
            assert isinstance(length, int)
            return descriptor, min(length, limit), offset
    return args
