"""The in-memory catalog."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from zot.catalog.change_log import ChangeCursor, ChangePage, TagChange, change_page
from zot.catalog.clock import Clock, Source
from zot.catalog.command import REMEMBERED_S, Command, OwnedCommand, RepositoryCommand, new_id
from zot.catalog.commands import handlers_in
from zot.catalog.interface import PAGE_LIMIT, Outcome
from zot.catalog.layout_snapshot import read_layout_snapshot
from zot.catalog.memory import blobs, claims, layouts, manifests, owners, uploads
from zot.catalog.memory.state import MemoryCatalogScope, MemoryScope, State, StoredRepository
from zot.catalog.owner_commands import RenewOwner
from zot.catalog.rows import (
    BlobRow,
    CarriedEntry,
    DanglingManifest,
    ExportRow,
    LayoutSnapshot,
    ManifestDetails,
    ManifestRow,
    PendingDelete,
    ReferrerRow,
    RepositoryRow,
    TagRow,
    UnreferencedBlob,
    UploadRow,
    UsageRow,
)
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag, as_digest

_HANDLERS = handlers_in(blobs, claims, manifests, uploads, layouts, owners, MemoryCatalogScope)

Item = TypeVar("Item")


def _page(items: Iterable[Item], limit: int) -> list[Item]:
    """Return the first items in byte order, which is that of code points in UTF-8."""
    return sorted(items)[: max(0, min(limit, PAGE_LIMIT))]  # type: ignore[type-var] # all are texts or tuples of them


class MemoryCatalog:
    """A `Catalog` that is gone with the process, so its one user is its owner. `source` tells the time."""

    def __init__(self, source: Source = time.time_ns, owner: str | None = None) -> None:
        """Start empty, with the lease of the owner begun; without `owner` it is a new one."""
        self.owner = owner or new_id()
        self._source = source
        self._state = State(Clock(source))
        self._remembered: dict[str, tuple[int, Any]] = {}
        owners.renew(MemoryCatalogScope(self._state, source()), RenewOwner(owner=self.owner))

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change and return its outcome."""
        now_ns = self._state.clock.now_ns()
        if not command.remembered:
            return self._carry_out(now_ns, command)
        self._remembered = {
            id_: known for id_, known in self._remembered.items() if known[0] > now_ns - REMEMBERED_S * 10**9
        }
        if command.id not in self._remembered:
            self._remembered[command.id] = now_ns, self._carry_out(now_ns, command)
        outcome: Outcome = self._remembered[command.id][1]
        return outcome

    def _carry_out(self, now_ns: int, command: Command[Outcome]) -> Outcome:
        scope: MemoryCatalogScope | MemoryScope = MemoryCatalogScope(self._state, now_ns)
        if isinstance(command, OwnedCommand):
            owners.require_alive(self._state, command.owner)
        if isinstance(command, RepositoryCommand):
            scope = MemoryScope(self._state, command, now_ns)
        outcome: Outcome = _HANDLERS[type(command)](scope, command)
        return outcome

    def _repository(self, name: Repository) -> StoredRepository:
        return self._state.repositories.get(name) or StoredRepository(name)

    async def repository(self, repository: Repository) -> RepositoryRow | None:
        """Return the repository, None if there is none."""
        known = self._state.repositories.get(repository)
        return known.row() if known else None

    async def repositories(self, after: str, limit: int) -> Sequence[Repository]:
        """Return names greater than `after`."""
        return _page((name for name in self._state.repositories if name > after), limit)

    async def resolve(self, repository: Repository, reference: Reference) -> ManifestRow | None:
        """Return the manifest that a tag or digest stands for."""
        known = self._repository(repository)
        digest = as_digest(reference) or known.tagged(Tag(reference))
        manifest = known.manifests.get(digest) if digest else None
        if manifest is None:
            return None
        entry = manifest.entry
        return ManifestRow(entry.digest, entry.media_type, manifest.size, entry.digest in known.marks)

    async def manifest_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Return the bytes of a manifest."""
        manifest = self._repository(repository).manifests.get(digest)
        return manifest.entry.content if manifest else None

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestDetails | None:
        """Return what is known of a manifest, with its tags."""
        return self._repository(repository).details(digest)

    async def manifests(self, repository: Repository, after: str, limit: int) -> Sequence[ManifestDetails]:
        """Return manifests with digests greater than `after`."""
        known = self._repository(repository)
        page = _page((digest for digest in known.manifests if digest > after), limit)
        return [details for digest in page if (details := known.details(digest))]

    async def tags(self, repository: Repository, after: str, limit: int) -> Sequence[TagRow]:
        """Return tags with names greater than `after`."""
        tags = self._repository(repository).tags
        return [tags[tag] for tag in _page((tag for tag in tags if tag > after), limit)]

    async def tag(self, repository: Repository, tag: Tag) -> TagRow | None:
        """Return a tag."""
        return self._repository(repository).tags.get(tag)

    async def tag_log(self, repository: Repository, tag: Tag | None, before: int | None, limit: int) -> list[TagChange]:
        """Return changes of one tag or of all, newest first, with sequence numbers less than `before`."""
        newest_first = [
            TagChange(each.sequence, each.tag, each.before, each.after, each.at_ns, each.by, each.source)
            for each in self._state.tag_history(repository)
            if each.tag and tag in (None, each.tag) and (before is None or each.sequence < before)
        ]
        return newest_first[: max(0, min(limit, PAGE_LIMIT))]

    async def changes(self, after: ChangeCursor | None, limit: int) -> ChangePage:
        """Return entries of the change log that follow a cursor, oldest first."""
        state = self._state
        at = after or ChangeCursor(0, 0)
        later = [each for each in state.log if each.sequence > max(at.sequence, state.trimmed)]
        is_known = any(each.sequence == at.sequence and at.at_ns in (None, each.at_ns) for each in state.log)
        page = later[: max(0, min(limit, PAGE_LIMIT))]
        return change_page(after, page, trimmed=state.trimmed, newest=state.newest, is_known=is_known)

    async def referrers(
        self, repository: Repository, subject: Digest, artifact_types: Sequence[str], after: str, limit: int
    ) -> Sequence[ReferrerRow]:
        """Return manifests whose subject this is, with digests greater than `after`; all types if none is named."""
        known = self._repository(repository).manifests
        page = _page(
            (
                digest
                for digest, manifest in known.items()
                if digest > after
                and manifest.entry.subject == subject
                and (not artifact_types or manifest.entry.artifact_type in artifact_types)
            ),
            limit,
        )
        return [
            ReferrerRow(digest, entry.media_type, len(entry.content), entry.artifact_type, entry.annotations)
            for digest in page
            for entry in (known[digest].entry,)
        ]

    async def blob(self, repository: Repository, digest: Digest) -> BlobRow | None:
        """Return a present blob."""
        return self._repository(repository).blob_row(digest)

    async def blobs(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, int]]:
        """Return present blobs, digest and size, with digests greater than `after`."""
        known = self._repository(repository).blobs
        return _page(((digest, each.size) for digest, each in known.items() if not each.doom and digest > after), limit)

    async def held_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Return the bytes of a present blob that the catalog holds; None: its file has them."""
        blob = self._repository(repository).blobs.get(digest)
        return blob.held if blob else None

    async def held_blobs(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, int]]:
        """Return held blobs, digest and `placed_ns`, with digests greater than `after`."""
        known = self._repository(repository).blobs
        held = ((digest, each.placed_ns) for digest, each in known.items() if each.held is not None and digest > after)
        return _page(held, limit)

    async def repositories_with(self, digest: Digest, after: str, limit: int) -> Sequence[Repository]:
        """Return repositories in which the blob is present, with names greater than `after`."""
        known = self._state.repositories
        return _page((name for name, each in known.items() if name > after and each.present(digest)), limit)

    async def upload(self, session: str) -> UploadRow | None:
        """Return an upload session, finished ones included."""
        return self._state.uploads.get(session)

    async def uploads(self, idle_s: float, after: str, limit: int) -> Sequence[UploadRow]:
        """Return sessions, finished ones too, with ids greater than `after` that nothing happened to for so long."""
        until_ns = self._source() - int(idle_s * 10**9)
        known = self._state.uploads
        page = _page((id_ for id_, row in known.items() if id_ > after and row.updated_ns <= until_ns), limit)
        return [known[session] for session in page]

    async def unreferenced_blobs(self, repository: Repository, after: str, limit: int) -> Sequence[UnreferencedBlob]:
        """Return present blobs that nothing references, with digests greater than `after`."""
        known = self._repository(repository)
        page = _page((digest for digest in known.unreferenced_blobs() if digest > after), limit)
        return [UnreferencedBlob(digest, known.blobs[digest].size, known.blobs[digest].marked_s) for digest in page]

    async def dangling_manifests(self, repository: Repository, after: str, limit: int) -> Sequence[DanglingManifest]:
        """Return manifests that nothing keeps, with digests greater than `after`."""
        known = self._repository(repository)
        page = _page((digest for digest in known.dangling_manifests() if digest > after), limit)
        return [known.loose_manifest(digest) for digest in page]

    async def doomed(self, limit: int) -> Sequence[PendingDelete]:
        """Return pending deletes: blobs that are doomed and not yet forgotten, abandoned ones first."""
        doomed = (
            (self._state.is_alive(blob.doomed_by), name, digest, blob.doom, blob.doomed_by, blob.disposal)
            for name, each in self._state.repositories.items()
            for digest, blob in each.blobs.items()
            if blob.doom is not None
        )
        return [
            PendingDelete(name, digest, token, owner, not alive, disposal)
            for alive, name, digest, token, owner, disposal in _page(doomed, limit)
        ]

    async def export(self, repository: Repository) -> ExportRow | None:
        """Return how the repository's layout stands."""
        known = self._state.repositories.get(repository)
        return known.export_row() if known else None

    async def exports_due(self, limit: int) -> Sequence[Repository]:
        """Return imported repositories whose layout does not show all changes, longest due first."""
        due = (
            (each.due_ns, name)
            for name, each in self._state.repositories.items()
            if each.imported and each.due_ns is not None
        )
        return [name for _, name in _page(due, limit)]

    def one_moment(self) -> AbstractContextManager[None]:
        """Do nothing: no read waits, and only a command that is awaited changes the state."""
        return nullcontext()

    async def layout_snapshot(self, repository: Repository, limit: int, limit_bytes: int) -> LayoutSnapshot | None:
        """Return all that a repository's layout has to show."""
        return await read_layout_snapshot(self, repository, limit, limit_bytes)

    async def carried(self, repository: Repository, after: str, limit: int) -> Sequence[CarriedEntry]:
        """Return entries of the repository's `index.json` that are carried along, with keys greater than `after`."""
        known = self._repository(repository).carried
        return [known[key] for key in _page((key for key in known if key > after), limit)]

    async def carried_as(self, repository: Repository, reference: Reference) -> Sequence[CarriedEntry]:
        """Return carried entries of that digest, or of exactly that name: read ones first, a page at most."""
        entries = self._repository(repository).carried.values()
        found = [each for each in entries if reference in (each.digest, each.name)]
        return sorted(found, key=lambda each: (each.unread is not None, each.key))[:PAGE_LIMIT]

    async def absent_children(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, str]]:
        """Return what indexes list and is no manifest of the repository, with the media type, after a digest."""
        known = self._repository(repository)
        absent = {
            edge.digest: edge.media_type
            for manifest in known.manifests.values()
            for edge in manifest.entry.edges
            if edge.child and edge.digest not in known.manifests and edge.digest > after
        }
        return _page(absent.items(), limit)

    async def unread(self, repository: Repository) -> bool:
        """Tell whether the repository has something unread: then nothing of it is collected."""
        return bool(self._repository(repository).unread())

    async def usage(self, after: str, limit: int) -> Sequence[UsageRow]:
        """Return counts of repositories with names greater than `after`."""
        names = await self.repositories(after, limit)
        return [self._state.repositories[name].usage_row() for name in names]

    async def ready(self) -> None:
        """It always is."""

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""
