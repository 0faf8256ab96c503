"""The change log: one ordered list of what changed in the catalog, and what its readers get.

Each change is one entry, written in the commit of the command that made it. A command that is refused, or that finds
the catalog as it wants it, writes none. Search, events, watching, mirroring and pages tail the log (`Catalog.changes`);
no use case calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

import msgspec

from zot.catalog.command import ChangeSource, Command
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag


class ChangeKind(StrEnum):
    """What changed."""

    REPOSITORY_CREATED = "repository created"
    REPOSITORY_REMOVED = "repository removed"
    MANIFEST_STORED = "manifest stored"
    """It comes before the entries of its tags."""
    MANIFEST_DELETED = "manifest deleted"
    """It comes after the entries of its tags."""
    TAG_CREATED = "tag created"
    TAG_MOVED = "tag moved"
    TAG_DELETED = "tag deleted"
    BLOB_LOST = "blob lost"
    """A blob's bytes are missing or damaged: it is absent until it is pushed again."""


class Change(msgspec.Struct, frozen=True):
    """An entry of the change log.

    `before` and `after` are what the tag points to, or the manifest or blob itself where it exists: None before it is
    created, and after it is deleted. Both are None for a repository.
    """

    sequence: int
    kind: ChangeKind
    repository: Repository
    tag: Tag | None
    before: Digest | None
    after: Digest | None
    media_type: str | None
    """Of the manifest; of a tag's `after`, else `before`. None: not known, or not of a manifest."""
    at_ns: int
    by: str
    source: ChangeSource

    @property
    def digest(self) -> Digest | None:
        """The manifest or blob that the change is about; None: it is about a repository."""
        return self.after or self.before


class TagChange(msgspec.Struct, frozen=True):
    """A tag's entry of the change log. `before` None: the tag was created; `after` None: deleted."""

    sequence: int
    tag: Tag
    before: Digest | None
    after: Digest | None
    at_ns: int
    by: str
    source: ChangeSource = ChangeSource.CLIENT


class ChangeCursor(msgspec.Struct, frozen=True):
    """The last entry that a consumer has processed. A consumer keeps it with what it derives from the log.

    The time tells the entry from one that took its number: after a backup was restored, or a damaged catalog rebuilt.
    """

    sequence: int
    at_ns: int | None
    """None: whichever entry has the number, for a consumer that knows nothing else of it."""


class ChangePage(msgspec.Struct, frozen=True):
    """Entries of the change log, oldest first, and where to read on."""

    changes: tuple[Change, ...]
    cursor: ChangeCursor
    """The last of `changes`, else where the reader was; with a gap, the newest entry of the log."""
    oldest: int
    """The sequence number of the oldest entry that is kept for consumers. Every later one is there."""
    gap: bool = False
    """The log does not have all that followed the reader's cursor: `changes` is empty.

    The reader rebuilds: it keeps `cursor`, then reads the lists of the catalog, then reads on from `cursor`.
    """


class TrimChanges(Command[int], frozen=True, kw_only=True, tag=True):
    """Drop the oldest entries of the change log for consumers; return how many were dropped.

    What is older than `older_than_s` by the catalog's clock goes, and what is not among the newest `keep`; at most
    `limit` entries at once: as many as that means call again. The newest entry stays. Entries of a tag stay readable
    as its history for as long as its repository exists. Idempotent.
    """

    durable: ClassVar[bool] = False
    older_than_s: float
    keep: int
    limit: int = 1000

    def until_ns(self, now_ns: int) -> int:
        """Return the time of the last entry that is too old."""
        return now_ns - int(self.older_than_s * 10**9)

    def horizon(self, trimmed: int, newest: int, aged: int) -> int:
        """Return the last sequence number to drop.

        `trimmed` is the last one dropped before, `newest` that of the newest entry, `aged` the last one that is too
        old (0: none).
        """
        wanted = max(newest - self.keep, aged)
        return max(trimmed, min(wanted, trimmed + max(0, self.limit), newest - 1))


def change_page(
    after: ChangeCursor | None, changes: Sequence[Change], *, trimmed: int, newest: ChangeCursor, is_known: bool
) -> ChangePage:
    """Return what a reader at `after` gets, None: one that has read nothing yet.

    `changes` follow it, `trimmed` is the last sequence number dropped, `is_known`: the log has the entry of `after`.
    All were read at one moment.
    """
    oldest = trimmed + 1
    if after is None or after.sequence < trimmed or not (is_known or after.sequence == 0):
        return ChangePage((), newest, oldest, gap=True)
    if not changes:
        return ChangePage((), after, oldest)
    return ChangePage(tuple(changes), ChangeCursor(changes[-1].sequence, changes[-1].at_ns), oldest)
