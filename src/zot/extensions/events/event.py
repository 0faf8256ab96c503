"""An event as a value, and as a CloudEvent in zot's form."""

from __future__ import annotations

import uuid
from enum import StrEnum

import msgspec

from zot.catalog.change_log import ChangeCursor
from zot.catalog.command import ChangeSource
from zot.foundation.times import time_text
from zot.oci.digest import Digest
from zot.oci.names import Repository

SOURCE = "zotregistry.dev"
"""The CloudEvents attribute `source`, which is zot's."""
SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"
"""Of the data."""

_IDS = uuid.UUID("7a6f7465-7665-5e74-9a0d-3f0c9e1b7d42")
_PERSONAL = frozenset({ChangeSource.CLIENT, ChangeSource.OPERATOR})


class EventType(StrEnum):
    """The CloudEvents attribute `type`: zot's, and two beyond it."""

    REPOSITORY_CREATED = "zotregistry.repository.created"
    IMAGE_UPDATED = "zotregistry.image.updated"
    """A manifest was pushed, by a tag or by its digest, or a tag was moved."""
    IMAGE_DELETED = "zotregistry.image.deleted"
    REPOSITORY_REMOVED = "zotregistry.repository.removed"
    """An empty repository was removed; zot has no such event."""
    BLOB_LOST = "zotregistry.blob.lost"
    """Stored content is missing or damaged; zot has no such event."""


class Event(msgspec.Struct, frozen=True):
    """What happened to a repository, or to a tag or digest in it: one entry of the change log, or several."""

    type: EventType
    sequence: int
    """Of its entry in the change log, the last one if it stands for several."""
    at_ns: int
    before: ChangeCursor
    """The entry before its first: a reader who continues from there gets this event again."""
    repository: Repository
    source: ChangeSource
    by: str = ""
    reference: str = ""
    """The tag or digest; empty for a repository."""
    digest: Digest | None = None
    media_type: str | None = None

    @property
    def cursor(self) -> ChangeCursor:
        """The place in the change log after which the next event is."""
        return ChangeCursor(self.sequence, self.at_ns)

    @property
    def id(self) -> str:
        """Its id, the same whenever it is sent: a receiver that knows the id has seen the event.

        It is a UUID as in zot. The time is part of it, since a number can be used again after a restore.
        """
        return str(uuid.uuid5(_IDS, f"{self.sequence}/{self.at_ns}/{self.type}/{self.repository}"))

    @property
    def time(self) -> str:
        """Its time in RFC 3339."""
        return time_text(self.at_ns) or ""

    @property
    def has_manifest(self) -> bool:
        """Whether its data has the text of the manifest."""
        return self.type is EventType.IMAGE_UPDATED

    def data(self, manifest: str | None = None) -> dict[str, object]:
        """Return its data as zot has it, in the order of zot's keys.

        `manifest` is the text of the manifest; None if it is deleted by now. Of a change that no user made, `source`
        tells the cause.
        """
        fields: dict[str, object] = {}
        if self.source in _PERSONAL and self.by:
            fields["actor"] = {"name": self.by}
        if self.digest is not None:
            fields["digest"] = self.digest
        if manifest is not None:
            fields["manifest"] = manifest
        if self.media_type is not None:
            fields["mediaType"] = self.media_type
        fields["name"] = self.repository
        if self.reference:
            fields["reference"] = self.reference
        if self.source is not ChangeSource.CLIENT:
            fields["source"] = self.source
        return fields

    def attributes(self, channel: str = "") -> dict[str, str]:
        """Return its CloudEvents attributes, without the data's content type."""
        fields = {
            "specversion": SPEC_VERSION,
            "id": self.id,
            "source": SOURCE,
            "type": str(self.type),
            "time": self.time,
        }
        return fields | ({"channel": channel} if channel else {})

    def structured(self, manifest: str | None = None, channel: str = "") -> bytes:
        """Return the CloudEvent as one JSON document (structured mode)."""
        fields: dict[str, object] = {**self.attributes(channel), "datacontenttype": CONTENT_TYPE}
        return msgspec.json.encode(fields | {"data": self.data(manifest)})
