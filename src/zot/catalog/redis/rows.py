"""Rows as the scripts store them, and the rows of the interface that they become."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from zot.catalog.blob_commands import Disposal
from zot.catalog.change_log import Change, ChangeKind, TagChange
from zot.catalog.command import ChangeSource
from zot.catalog.rows import CarriedEntry, ManifestDetails, ReferrerRow, TagRow, Unread, UploadRow
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

_NS = 1000
"""Nanoseconds in the microseconds of the catalog's clock."""


class ManifestValue(msgspec.Struct, frozen=True):
    """A manifest's row."""

    media_type: str
    size: int
    annotations: str
    """JSON."""
    pushed_ns: str
    by: str
    whole: bool
    artifact_type: str | None = None
    subject: Digest | None = None

    def details(self, digest: Digest, tags: list[bytes], *, carried: bool) -> ManifestDetails:
        """Return all that is known of the manifest."""
        return ManifestDetails(
            digest,
            self.media_type,
            self.size,
            self.artifact_type,
            self.subject,
            int(self.pushed_ns),
            self.by,
            tuple(Tag(tag.decode()) for tag in tags),
            self.whole,
            carried,
        )

    def referrer(self, digest: Digest) -> ReferrerRow:
        """Return it as a row of a subject's referrers."""
        annotations = msgspec.json.decode(self.annotations, type=dict[str, str])
        return ReferrerRow(digest, self.media_type, self.size, self.artifact_type, annotations)


class BlobValue(msgspec.Struct, frozen=True):
    """A blob's row."""

    size: int
    placed_us: int
    marked_s: float | None = None
    doom: str | None = None
    owner: str = ""
    disposal: Disposal = Disposal.UNLINK
    held: bool = False

    @property
    def placed_ns(self) -> int:
        """Return when it became present."""
        return self.placed_us * _NS


class TagValue(msgspec.Struct, frozen=True):
    """A tag's row."""

    digest: Digest
    created_us: int
    moved_us: int
    by: str
    written: str | None = None

    def row(self, name: Tag) -> TagRow:
        """Return it as a row of the interface."""
        return TagRow(name, self.digest, self.created_us * _NS, self.moved_us * _NS, self.by, self.written)


class UploadValue(msgspec.Struct, frozen=True):
    """An upload session's row."""

    repository: Repository
    principal: str
    epoch: int
    offset: int
    algorithm: str
    recorded_by: str
    client: str
    driver_state: str
    updated_us: int
    prefix: Digest | None = None
    finished: Digest | None = None

    def row(self, session: str) -> UploadRow:
        """Return it as a row of the interface."""
        return UploadRow(
            session=session,
            repository=self.repository,
            principal=self.principal,
            epoch=self.epoch,
            offset=self.offset,
            algorithm=self.algorithm,
            prefix=self.prefix,
            recorded_by=self.recorded_by,
            updated_ns=self.updated_us * _NS,
            finished=self.finished,
            client=self.client,
            driver_state=base64.b64decode(self.driver_state),
        )


class ChangeValue(msgspec.Struct, frozen=True):
    """An entry of the change log."""

    kind: ChangeKind
    repository: Repository
    at_us: int
    by: str
    source: ChangeSource
    tag: Tag | None = None
    before: Digest | None = None
    after: Digest | None = None
    media_type: str | None = None

    @property
    def at_ns(self) -> int:
        """Return when it was made."""
        return self.at_us * _NS

    def change(self, sequence: int) -> Change:
        """Return it as an entry of the interface."""
        return Change(
            sequence,
            self.kind,
            self.repository,
            self.tag,
            self.before,
            self.after,
            self.media_type,
            self.at_ns,
            self.by,
            self.source,
        )

    def tag_change(self, sequence: int) -> TagChange:
        """Return the entry of a tag."""
        return TagChange(sequence, self.tag or Tag(""), self.before, self.after, self.at_ns, self.by, self.source)


class CarriedValue(msgspec.Struct, frozen=True):
    """An entry that is carried along."""

    line: str
    media_type: str
    digest: Digest | None = None
    name: str | None = None
    unread: Unread | None = None

    def row(self, key: str) -> CarriedEntry:
        """Return it as an entry of the interface."""
        line = base64.b64decode(self.line)
        return CarriedEntry(key, line, self.digest, self.name, self.media_type, self.unread)


def _decoder(kind: type) -> Any:
    return msgspec.msgpack.Decoder(kind).decode


manifest_row = _decoder(ManifestValue)
blob_row = _decoder(BlobValue)
tag_row = _decoder(TagValue)
upload_row = _decoder(UploadValue)
change_row = _decoder(ChangeValue)
carried_row = _decoder(CarriedValue)
