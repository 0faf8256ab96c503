"""What an operator asks of upkeep, as values: commands give them to the running server, or answer them themselves."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, get_args

import msgspec

from zot.admin.preview import CollectionPreview
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
    """A question or an order. The type parameter is the type of the rows that answer it."""

    changes: ClassVar[bool] = False
    """Whether it changes what exists: refused where nothing may be changed."""


class OperationProgress(msgspec.Struct, frozen=True):
    """How far it is, in a few words; between rows."""

    text: str


class Noted(msgspec.Struct, frozen=True):
    """What an operator has to know about the rows: that they are not all there is, for example."""

    text: str


class AdminError(Exception):
    """Why it cannot be done, in one sentence."""


class ListJobs(AdminRequest[TaskState], frozen=True, kw_only=True, tag=True):
    """How background work stands."""


class CollectResult(msgspec.Struct, frozen=True):
    """What a sweep of a store did."""

    store: str
    said: str
    failed: bool


class CollectGarbage(AdminRequest[CollectResult], frozen=True, kw_only=True, tag=True):
    """Sweep every store that collects garbage, now."""

    changes: ClassVar[bool] = True
    delay_s: float | None = None
    """Instead of the configured delays. Only where no server runs: nobody may rely on the others then."""


class PreviewCollection(AdminRequest[CollectionPreview], frozen=True, kw_only=True, tag=True):
    """What collection would remove in the end, of one repository or of all, and why."""

    repository: Repository | None = None
    of: Tag | None = None
    """Only what is there for this tag of the repository."""
    retention: dict[str, Any] | None = None
    """Retention by route of the store, in the words of the configuration, instead of what holds now.

    Stores that are not named do not collect.
    """


class ScrubStores(AdminRequest[ScrubResult], frozen=True, kw_only=True, tag=True):
    """Verify everything stored, and set aside what is damaged."""


class TagHistory(AdminRequest[TagChange], frozen=True, kw_only=True, tag=True):
    """The changes of a tag, or of a repository's, newest first."""

    repository: Repository
    tag: Tag | None = None
    limit: int = 1000


class TagsAsOf(AdminRequest[TagAt], frozen=True, kw_only=True, tag=True):
    """Where a tag, or each of a repository's, pointed at a time."""

    repository: Repository
    at_ns: int
    tag: Tag | None = None


class RestoreTags(AdminRequest[TagAt], frozen=True, kw_only=True, tag=True):
    """Bring a tag back: to a digest, or to where it was before its last change."""

    changes: ClassVar[bool] = True
    repository: Repository
    tag: Tag
    digest: Digest | None = None
    by: str = ""


class StorageUsage(AdminRequest[UsageRow], frozen=True, kw_only=True, tag=True):
    """Bytes and counts of the repositories that match a glob."""

    pattern: str = "**"


class TagsUsage(AdminRequest[TagUsage], frozen=True, kw_only=True, tag=True):
    """Bytes of a repository's tags."""

    repository: Repository


class CreateBackup(AdminRequest[str], frozen=True, kw_only=True, tag=True):
    """Copy everything that cannot be rebuilt into a directory."""

    directory: str


class Findings(AdminRequest[Finding], frozen=True, kw_only=True, tag=True):
    """What the store holds and the registry does not serve as it was stored, and why."""


AnyAsk = (
    ListJobs
    | CollectGarbage
    | PreviewCollection
    | ScrubStores
    | TagHistory
    | TagsAsOf
    | RestoreTags
    | StorageUsage
    | TagsUsage
    | CreateBackup
    | Findings
)

encode = msgspec.json.Encoder().encode
"""Return a request or a row as bytes."""

decode = msgspec.json.Decoder(AnyAsk).decode
"""Return the request that bytes stand for. Raises msgspec.DecodeError, msgspec.ValidationError."""


def decode_row(kind: type[AdminRequest[Any]], content: bytes | msgspec.Raw) -> Any:
    """Return the row that answers a request of this kind. Raises as `decode`."""
    return _rows(kind).decode(content)


@cache
def _rows(kind: type[AdminRequest[Any]]) -> msgspec.json.Decoder[Any]:
    (base,) = vars(kind)["__orig_bases__"]
    (row,) = get_args(base)
    return msgspec.json.Decoder(row)
