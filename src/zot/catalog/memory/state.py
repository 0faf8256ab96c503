"""What the in-memory catalog holds, and the little of it that a command gets to see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from zot.catalog.blob_commands import Disposal
from zot.catalog.change_log import Change, ChangeCursor, ChangeKind, TrimChanges
from zot.catalog.clock import Clock
from zot.catalog.command import RepositoryCommand
from zot.catalog.layout_commands import LayoutManifest
from zot.catalog.quotas import RepositoryQuota, matches
from zot.catalog.rows import (
    BlobRow,
    CarriedEntry,
    DanglingManifest,
    ExportRow,
    ManifestDetails,
    RepositoryRow,
    TagRow,
    UploadRow,
    UsageRow,
)
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag


@dataclass(slots=True)
class StoredBlob:
    """A blob: present, or doomed under a token."""

    size: int
    placed_ns: int
    marked_s: float | None = None
    doom: str | None = None
    doomed_by: str = ""
    disposal: Disposal = Disposal.UNLINK
    held: bytes | None = None
    """Its bytes, until its file is in the layout."""


@dataclass(slots=True, frozen=True)
class MemoryManifest:
    """A manifest, and who pushed it."""

    entry: LayoutManifest
    by: str

    @property
    def size(self) -> int:
        """Return the length of its content."""
        return len(self.entry.content)


@dataclass(slots=True)
class StoredRepository:
    """A repository with all that is in it. Manifests are in the order in which they came."""

    name: Repository
    created: int = 0
    """The sequence number of its first entry in the change log."""
    imported: bool = False
    revision: int = 0
    exported: int = 0
    due_ns: int | None = None
    export_digest: str | None = None
    export_signature: str | None = None
    export_intent: str | None = None
    blobs: dict[Digest, StoredBlob] = field(default_factory=dict)
    claims: dict[tuple[Digest, str], str] = field(default_factory=dict)
    """Owners, by digest and token."""
    manifests: dict[Digest, MemoryManifest] = field(default_factory=dict)
    marks: dict[Digest, float] = field(default_factory=dict)
    """Those of manifests."""
    tags: dict[Tag, TagRow] = field(default_factory=dict)
    carried: dict[str, CarriedEntry] = field(default_factory=dict)
    """By key."""

    @property
    def bytes(self) -> int:
        """Return what its present blobs and manifests take, each digest once."""
        sizes = {digest: blob.size for digest, blob in self.blobs.items() if blob.doom is None}
        sizes.update((digest, manifest.size) for digest, manifest in self.manifests.items() if digest not in sizes)
        return sum(sizes.values())

    def present(self, digest: Digest) -> StoredBlob | None:
        """Return a blob unless it is doomed."""
        blob = self.blobs.get(digest)
        return blob if blob and blob.doom is None else None

    def tagged(self, tag: Tag) -> Digest | None:
        """Return what a tag points to."""
        row = self.tags.get(tag)
        return row.digest if row else None

    def claimed(self, digest: Digest) -> bool:
        """Tell whether a claim stands."""
        return any(digest == each for each, _ in self.claims)

    def referenced(self, digest: Digest) -> bool:
        """Tell whether a manifest names it, or it is one."""
        return digest in self.manifests or self._named_as(digest) is not None

    def indexes_of(self, digest: Digest) -> tuple[Digest, ...]:
        """Return the indexes that list the manifest."""
        return tuple(
            sorted(
                index
                for index, manifest in self.manifests.items()
                if any(edge.child and edge.digest == digest for edge in manifest.entry.edges)
            )
        )

    def unreferenced_blobs(self) -> list[Digest]:
        """Return the present blobs that nothing references."""
        named = {edge.digest for manifest in self.manifests.values() for edge in manifest.entry.edges}
        return [
            digest
            for digest, blob in self.blobs.items()
            if blob.doom is None and digest not in named and digest not in self.manifests
        ]

    def dangling_manifests(self) -> list[Digest]:
        """Return the manifests that no tag, no index, and no subject that is here keeps."""
        kept = {row.digest for row in self.tags.values()} | self.listed_by_carried()
        for manifest in self.manifests.values():
            kept.update(edge.digest for edge in manifest.entry.edges if edge.child)
        return [
            digest
            for digest, manifest in self.manifests.items()
            if digest not in kept and manifest.entry.subject not in self.manifests
        ]

    def loose_manifest(self, digest: Digest) -> DanglingManifest:
        """Return a manifest that nothing keeps as a row."""
        entry = self.manifests[digest].entry
        size = len(entry.content)
        return DanglingManifest(digest, entry.media_type, size, entry.subject, entry.pushed_ns, self.marks.get(digest))

    def listed_by_carried(self) -> set[Digest]:
        """Return the digests that carried entries list."""
        return {entry.digest for entry in self.carried.values() if entry.digest is not None and entry.line}

    def read_carried(self, digest: Digest) -> None:
        """Take the carried entries of a manifest that is stored now for read; only a name keeps one."""
        for key, entry in list(self.carried.items()):
            if entry.digest == digest:
                if entry.line and entry.name is not None:
                    self.carried[key] = msgspec.structs.replace(entry, unread=None)
                else:
                    del self.carried[key]

    def unread(self) -> int:
        """Return how many entries and manifests could not be read, or not whole."""
        return sum(entry.unread is not None for entry in self.carried.values()) + sum(
            not manifest.entry.whole for manifest in self.manifests.values()
        )

    def tags_of(self, digest: Digest) -> tuple[Tag, ...]:
        """Return the tags that point to the manifest."""
        return tuple(sorted(tag for tag, row in self.tags.items() if row.digest == digest))

    def row(self) -> RepositoryRow:
        """Return it as a row."""
        return RepositoryRow(self.name, self.imported, self.bytes, self.revision, self.exported)

    def export_row(self) -> ExportRow:
        """Return how its layout stands."""
        return ExportRow(
            self.name,
            self.revision,
            self.exported,
            self.export_digest,
            self.export_signature,
            self.export_intent,
        )

    def usage_row(self) -> UsageRow:
        """Return its counts."""
        blobs = sum(blob.doom is None for blob in self.blobs.values())
        return UsageRow(self.name, self.bytes, len(self.tags), len(self.manifests), blobs, self.unread())

    def blob_row(self, digest: Digest) -> BlobRow | None:
        """Return a present blob as a row."""
        blob = self.present(digest)
        if blob is None:
            return None
        marked, held = blob.marked_s is not None, blob.held is not None
        return BlobRow(blob.size, self._named_as(digest), marked, blob.placed_ns, held)

    def details(self, digest: Digest) -> ManifestDetails | None:
        """Return what is known of a manifest."""
        manifest = self.manifests.get(digest)
        if manifest is None:
            return None
        entry = manifest.entry
        return ManifestDetails(
            digest,
            entry.media_type,
            manifest.size,
            entry.artifact_type,
            entry.subject,
            entry.pushed_ns,
            manifest.by,
            self.tags_of(digest),
            entry.whole,
            digest in self.listed_by_carried(),
        )

    def _named_as(self, digest: Digest) -> str | None:
        edges = (edge for manifest in self.manifests.values() for edge in manifest.entry.edges)
        return next((edge.media_type for edge in edges if edge.digest == digest), None)


@dataclass(slots=True)
class StoredOwner:
    """An owner's lease."""

    expires_ns: int
    ended_ns: int | None = None


@dataclass(slots=True)
class StoredLease:
    """A named lease; without an owner it is free."""

    owner: str | None
    fence: int


@dataclass(slots=True)
class State:
    """Everything."""

    clock: Clock
    repositories: dict[Repository, StoredRepository] = field(default_factory=dict)
    uploads: dict[str, UploadRow] = field(default_factory=dict)
    owners: dict[str, StoredOwner] = field(default_factory=dict)
    leases: dict[str, StoredLease] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)
    trimmed: int = 0
    """The last sequence number that was dropped for consumers."""

    @property
    def newest(self) -> ChangeCursor:
        """The newest entry of the change log."""
        return ChangeCursor(self.log[-1].sequence, self.log[-1].at_ns) if self.log else ChangeCursor(0, 0)

    def tag_history(self, repository: Repository) -> Iterator[Change]:
        """Iterate over the changes of the tags that a repository has had since it was created, newest first."""
        known = self.repositories.get(repository)
        for change in reversed(self.log if known else ()):
            if known and change.repository == repository and change.tag and change.sequence > known.created:
                yield change

    def trim(self, command: TrimChanges, now_ns: int) -> int:
        """Carry out TrimChanges."""
        before = self.trimmed
        aged = [each.sequence for each in self.log if each.at_ns <= command.until_ns(now_ns)]
        self.trimmed = command.horizon(before, self.newest.sequence, max(aged, default=0))
        kept = {change.sequence for name in self.repositories for change in self.tag_history(name)}
        self.log = [each for each in self.log if each.sequence > self.trimmed or each.sequence in kept]
        return self.trimmed - before

    def is_alive(self, owner: str) -> bool:
        """Tell whether an owner's lease is held, or can be renewed."""
        known = self.owners.get(owner)
        return known is not None and known.ended_ns is None


@dataclass(slots=True, frozen=True)
class MemoryCatalogScope:
    """What a command works with that concerns no single repository: everything, at one time."""

    state: State
    now_ns: int

    def trim(self, command: TrimChanges) -> int:
        """Carry out TrimChanges."""
        return self.state.trim(command, self.now_ns)


class MemoryScope:
    """What a command may touch: one repository, its uploads, and the number of the others."""

    def __init__(self, state: State, command: RepositoryCommand[Any], now_ns: int) -> None:
        """Open the scope of one command on one repository, at one time."""
        self._state = state
        self._name = command.repository
        self._by = command.by
        self._source = command.source
        self._changed = False
        self.now_ns = now_ns

    @property
    def repository(self) -> StoredRepository:
        """The repository; an empty one stands in for it if there is none, and is not kept."""
        return self._state.repositories.get(self._name) or StoredRepository(self._name)

    @property
    def exists(self) -> bool:
        """Whether there is such a repository."""
        return self._name in self._state.repositories

    def create(self) -> StoredRepository:
        """Return the repository, created unless it exists."""
        if not self.exists:
            self.log(ChangeKind.REPOSITORY_CREATED)
            self._state.repositories[self._name] = StoredRepository(self._name, self._state.newest.sequence)
        return self._state.repositories[self._name]

    def log(
        self,
        kind: ChangeKind,
        *,
        tag: Tag | None = None,
        before: Digest | None = None,
        after: Digest | None = None,
        media_type: str | None = None,
    ) -> None:
        """Write an entry of the change log."""
        sequence = self._state.newest.sequence + 1
        self._state.log.append(
            Change(sequence, kind, self._name, tag, before, after, media_type, self.now_ns, self._by, self._source)
        )

    def changed(self) -> None:
        """Give the repository, if there is one, a new revision, once a command, and make an export due.

        To be called after each change of manifests and tags: what it keeps loses its mark.
        """
        repository = self._state.repositories.get(self._name)
        if repository is None:
            return
        if repository.marks:
            dangling = set(repository.dangling_manifests())
            repository.marks = {digest: at_s for digest, at_s in repository.marks.items() if digest in dangling}
        if self._changed:
            return
        self._changed = True
        repository.revision += 1
        if repository.due_ns is None:
            repository.due_ns = self.now_ns

    def forget(self) -> None:
        """Remove the repository, its uploads, and what is kept as history of its tags alone."""
        for row in self.uploads():
            del self._state.uploads[row.session]
        if self._state.repositories.pop(self._name, None) is None:
            return
        trimmed = self._state.trimmed
        self._state.log = [each for each in self._state.log if each.sequence > trimmed or each.repository != self._name]
        self.log(ChangeKind.REPOSITORY_REMOVED)

    def is_alive(self, owner: str) -> bool:
        """Tell whether an owner's lease has not ended."""
        return self._state.is_alive(owner)

    def holding_manifests(self) -> int:
        """Return how many repositories have a manifest."""
        return sum(bool(each.manifests) for each in self._state.repositories.values())

    def used(self, quota: RepositoryQuota) -> int:
        """Return how many bytes of a quota are used."""
        if not quota.patterns:
            return self.repository.bytes
        return sum(each.bytes for name, each in self._state.repositories.items() if matches(quota.patterns, name))

    def upload(self, session: str) -> UploadRow | None:
        """Return an upload of the repository."""
        row = self._state.uploads.get(session)
        return row if row and row.repository == self._name else None

    def uploads(self) -> list[UploadRow]:
        """Return the uploads of the repository."""
        return [row for row in self._state.uploads.values() if row.repository == self._name]

    def record(self, row: UploadRow) -> None:
        """Put an upload's row in place. A session of another repository stays as it is."""
        if self._state.uploads.get(row.session, row).repository == self._name:
            self._state.uploads[row.session] = row

    def drop_upload(self, session: str) -> None:
        """Remove an upload of the repository."""
        if self.upload(session):
            del self._state.uploads[session]

    def point(self, tag: Tag, digest: Digest | None, by: str, written: str | None = None) -> None:
        """Let a tag of an existing repository point to a digest, or nowhere, and log it."""
        repository = self._state.repositories[self._name]
        before = repository.tags.pop(tag, None)
        if digest is not None:
            created_ns = before.created_ns if before else self.now_ns
            repository.tags[tag] = TagRow(tag, digest, created_ns, self.now_ns, by, written)
            repository.carried = {
                key: entry
                for key, entry in repository.carried.items()
                if entry.digest != digest or entry.name not in (tag, written or tag)
            }
        left = before.digest if before else None
        stored = repository.manifests.get(digest or left or Digest(""))
        kind = ChangeKind.TAG_DELETED if digest is None else ChangeKind.TAG_MOVED if before else ChangeKind.TAG_CREATED
        self.log(kind, tag=tag, before=left, after=digest, media_type=stored.entry.media_type if stored else None)
