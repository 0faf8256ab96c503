"""The requests of administration, as values: commands send them to the running server, or carry them out themselves."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, get_args

import msgspec

from zot.admin.events import DeadLetter, Replay
from zot.admin.preview import CollectionPreview, CollectionSummary, PlannedDeletes
from zot.admin.space import UsageReport
from zot.admin.status import StatusReport
from zot.admin.tag_history import TagAt
from zot.catalog.change_log import TagChange
from zot.catalog.rows import UsageRow
from zot.maintenance.findings import Finding
from zot.maintenance.scheduler import TaskState
from zot.maintenance.scrub import ScrubResult
from zot.maintenance.usage import TagUsage
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

Row = TypeVar("Row")


class AdminRequest(msgspec.Struct, Generic[Row], frozen=True, kw_only=True, tag=True):
    """A request for rows of the type parameter."""

    changes: ClassVar[bool] = False
    """Whether it changes the store: then a read-only registry refuses it."""


class OperationProgress(msgspec.Struct, frozen=True):
    """The progress in a few words; sent between rows."""

    text: str


class Noted(msgspec.Struct, frozen=True):
    """A note to the operator about the rows, for example that they are incomplete."""

    text: str


class AdminError(Exception):
    """The request cannot be carried out; the message says why in one sentence."""


class AskStatus(AdminRequest[StatusReport], frozen=True, kw_only=True, tag=True):
    """Tell how the running server is."""


class ListJobs(AdminRequest[TaskState], frozen=True, kw_only=True, tag=True):
    """List the states of background tasks."""


class StartJob(AdminRequest[TaskState], frozen=True, kw_only=True, tag=True):
    """Start a background task at once, or after the run that is in progress; does not wait for its end."""

    task: str
    """`TaskState.task`."""


class CollectResult(msgspec.Struct, frozen=True):
    """The result of a store's sweep."""

    store: str
    summary: str
    failed: bool


class CollectGarbage(AdminRequest[CollectResult], frozen=True, kw_only=True, tag=True):
    """Sweep every store that collects garbage at once."""

    changes: ClassVar[bool] = True
    delay_s: float | None = None
    """Overrides the configured delays. Only while no server runs, since its clients rely on those."""


class PreviewCollection(AdminRequest[CollectionPreview], frozen=True, kw_only=True, tag=True):
    """List what collection would delete in the end, of one repository or of all, with the reasons."""

    repository: Repository | None = None
    of: Tag | None = None
    """Restricts the list to the content of this tag of the repository."""
    retention: dict[str, Any] | None = None
    """Overrides the retention: a `retention` section of the configuration for each route of a store.

    Stores without a section do not collect.
    """


class SummarizeCollection(AdminRequest[CollectionSummary], frozen=True, kw_only=True, tag=True):
    """Summarize what collection would delete of each repository in the end, in the order of names.

    One row a repository, also if nothing would be deleted of it: a caller that has enough rows ends the request.
    """

    after: str = ""
    """Begins after this name."""


class PreviewPage(AdminRequest[PlannedDeletes], frozen=True, kw_only=True, tag=True):
    """List a part of what collection would delete of a repository in the end, and of the decisions on its tags."""

    repository: Repository
    limit: int = 50
    offset: int = 0
    tags_offset: int = 0


class ScrubStores(AdminRequest[ScrubResult], frozen=True, kw_only=True, tag=True):
    """Verify all content, and quarantine damaged blobs."""


class TagHistory(AdminRequest[TagChange], frozen=True, kw_only=True, tag=True):
    """List the changes of a tag, or of all tags of a repository, newest first."""

    repository: Repository
    tag: Tag | None = None
    limit: int = 1000


class TagsAsOf(AdminRequest[TagAt], frozen=True, kw_only=True, tag=True):
    """List the manifest of a tag, or of each tag of a repository, at a time."""

    repository: Repository
    at_ns: int
    tag: Tag | None = None


class RestoreTags(AdminRequest[TagAt], frozen=True, kw_only=True, tag=True):
    """Restore a tag to a digest, or to its manifest before its last change."""

    changes: ClassVar[bool] = True
    repository: Repository
    tag: Tag
    digest: Digest | None = None
    by: str = ""


class StorageUsage(AdminRequest[UsageRow], frozen=True, kw_only=True, tag=True):
    """List bytes and counts of the repositories that match a glob."""

    pattern: str = "**"


class ReportUsage(AdminRequest[UsageReport], frozen=True, kw_only=True, tag=True):
    """Tell what a page of the repositories that match a glob use, and what stores and quotas hold in all."""

    pattern: str = "**"
    sort: str = "size"
    """One of `zot.admin.space.SORTS`."""
    limit: int = 50
    offset: int = 0


class TagsUsage(AdminRequest[TagUsage], frozen=True, kw_only=True, tag=True):
    """List the bytes of a repository's tags."""

    repository: Repository


class CreateBackup(AdminRequest[str], frozen=True, kw_only=True, tag=True):
    """Back up everything that cannot be rebuilt to a directory."""

    directory: str


class Findings(AdminRequest[Finding], frozen=True, kw_only=True, tag=True):
    """List what the store holds and the registry does not serve as it was stored, with the reasons."""


class ListDeadLetters(AdminRequest[DeadLetter], frozen=True, kw_only=True, tag=True):
    """List the events that a sink, or any sink, did not accept, oldest first."""

    sink: str | None = None
    limit: int = 1000


class ReplayEvents(AdminRequest[Replay], frozen=True, kw_only=True, tag=True):
    """Send dead letters again, or all events after an entry of the change log: to a sink, or to all."""

    sink: str | None = None
    letter: int | None = None
    """One dead letter; None: all."""
    since: int | None = None
    """The sequence number of the entry; None: dead letters are sent."""


AnyRequest = (
    AskStatus
    | ListJobs
    | StartJob
    | CollectGarbage
    | PreviewCollection
    | SummarizeCollection
    | PreviewPage
    | ScrubStores
    | TagHistory
    | TagsAsOf
    | RestoreTags
    | StorageUsage
    | ReportUsage
    | TagsUsage
    | CreateBackup
    | Findings
    | ListDeadLetters
    | ReplayEvents
)

encode = msgspec.json.Encoder().encode
"""Encode a request or a row."""

decode = msgspec.json.Decoder(AnyRequest).decode
"""Decode a request. Raises msgspec.DecodeError, msgspec.ValidationError."""


def decode_row(kind: type[AdminRequest[Any]], content: bytes | msgspec.Raw) -> Any:
    """Decode a row of the answer to a request of this kind. Raises as `decode`."""
    return _rows(kind).decode(content)


@cache
def _rows(kind: type[AdminRequest[Any]]) -> msgspec.json.Decoder[Any]:
    (base,) = vars(kind)["__orig_bases__"]
    (row,) = get_args(base)
    return msgspec.json.Decoder(row)
