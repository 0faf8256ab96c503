"""Reports of missing and damaged content: a line in the log, and a count in the metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum

from zot.logs.fields import fields
from zot.oci.digest import Digest
from zot.oci.names import Repository

_log = logging.getLogger("zot.storage")

NOT_FOUND = "blob not found"
BAD_DIGEST = "digest mismatch"


class FoundBy(StrEnum):
    """What found the damage: a label of the metric."""

    PULL = "pull"
    PUSH = "push"
    MOUNT = "mount"
    SCRUB = "scrub"
    IMPORT = "import"
    EXPORT = "export"


class DamageReports:
    """Reports damaged content of one process."""

    def __init__(self) -> None:
        """Report to the log alone, until there is an observer."""
        self._observers: list[Callable[[str], object]] = []

    def observe(self, observer: Callable[[str], object]) -> None:
        """Call `observer` for each damaged blob, with what found it."""
        self._observers.append(observer)

    def report(self, repository: Repository, digest: Digest, error: str, found_by: FoundBy, outcome: str) -> None:
        """Log and count one damaged blob; `outcome` says what happens to it."""
        for observer in self._observers:
            observer(found_by.value)
        _log.error(
            "damaged blob %s of %s: %s; %s",
            digest,
            repository,
            error,
            outcome,
            extra=fields(repository=repository, digest=digest, found_by=found_by.value),
        )


def size_mismatch(found: int | None, expected: int) -> str:
    """Describe content that is missing (`found` is None) or of another size than expected."""
    return NOT_FOUND if found is None else f"{BAD_DIGEST}: {found} bytes instead of {expected}"
