"""Export small repositories together: one turn reads each at one moment, and shares jobs, syncs and commits.

A turn takes only what is plain: a layout whose `index.json` is the recorded export, or missing where none is recorded,
and content that is intact. All else is left to an export alone (`Exporter.export`), which also reports what is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from zot.catalog.blob_commands import PlacedBlob, ReleaseBlobs
from zot.catalog.command import Command
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import BeginExport, FinishExport
from zot.catalog.rows import LayoutSnapshot
from zot.layout import index_json
from zot.layout.export_stamp import ExportStamp, parse_export_stamp
from zot.layout.index_entry import IndexEntry, order
from zot.layout.index_json import Index, InvalidLayoutError
from zot.layout.interface import FileSignature, FoundIndex, IndexSignatures, LayoutFiles, Placed, Replacement
from zot.layout.manifest_files import remove_manifest_file
from zot.oci.digest import Digest, has_digest
from zot.oci.names import Repository
from zot.registry.damage import DamageReports, FoundBy
from zot.registry.manifest_bytes import read_manifest
from zot.storage.interface import Storage

T = TypeVar("T")

TURN = 32
"""How many repositories a turn takes at most."""
# Of each kind in a repository: tags, manifests, carried entries, held blobs.
_SMALL = 16
_HELD_BYTES = 256 * 1024
_INDEX_BYTES = 64 * 1024
# Of a turn: files that are open at once, and bytes in memory.
_TURN_FILES = 256
_TURN_BYTES = 8 * 1024 * 1024


class _Plan(NamedTuple):
    """What an export of one repository writes."""

    snapshot: LayoutSnapshot
    seen: FileSignature | None
    encoded: bytes
    """The new `index.json`."""
    contents: Mapping[Digest, bytes]
    """Manifests whose files may be missing, and held blobs."""
    gone: Sequence[Digest]
    """Manifests that only the file before listed, and whose files are ours to remove."""

    def release(self, repository: Repository) -> ReleaseBlobs:
        """Return what releases the held blobs, whose files are placed."""
        placed = tuple(PlacedBlob(each.digest, each.placed_ns) for each in self.snapshot.held)
        return ReleaseBlobs(repository=repository, placed=placed)

    def finish(self, repository: Repository, digest: str, placed: Placed) -> FinishExport:
        """Return what records that the staged file, which has that digest, is in place."""
        stamp = ExportStamp(placed.signature, self.snapshot.shown_ns, whole=True)
        revision = self.snapshot.export.revision
        return FinishExport(repository=repository, revision=revision, digest=digest, signature=str(stamp))


class SmallExports:
    """Writes layouts of small repositories, several in one turn. The caller has the lock of each in this process.

    The order is that of an export alone: files of manifests and held blobs, and the staged `index.json`, synced; its
    digest recorded; renamed, the directory synced; recorded as exported.
    """

    def __init__(self, catalog: Catalog, storage: Storage, files: LayoutFiles, damage: DamageReports) -> None:
        """Export repositories of one store."""
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._damage = damage

    async def export(self, repositories: Iterable[Repository]) -> set[Repository]:
        """Export what is small and plain of at most TURN repositories; return those that are exported. Idempotent.

        Raises StorageError, CatalogError: then some may be exported, and what was begun is recognised as our own.
        """
        snapshots = await self._snapshots(repositories)
        exported = {name for name, each in snapshots.items() if each.export.revision == each.export.exported}
        due = [name for name in snapshots if name not in exported]
        if due:
            async with self._files.lock_small(due, _INDEX_BYTES) as found:
                plans = {name: await self._plan(name, snapshots[name], index) for name, index in found.items()}
                exported |= await self._write({name: plan for name, plan in plans.items() if plan is not None})
        return exported

    async def _snapshots(self, repositories: Iterable[Repository]) -> dict[Repository, LayoutSnapshot]:
        """Read small repositories, as many as a turn takes."""
        snapshots: dict[Repository, LayoutSnapshot] = {}
        files = size = 0
        for name in repositories:
            found = await self._catalog.layout_snapshot(name, _SMALL, _HELD_BYTES)
            if found is None:
                continue
            files += len(found.manifests) + len(found.held) + 2
            size += sum(each.size for each in found.manifests) + sum(len(each.content) for each in found.held)
            if files > _TURN_FILES or size > _TURN_BYTES:
                break
            snapshots[name] = found
        return snapshots

    async def _plan(self, repository: Repository, snapshot: LayoutSnapshot, found: FoundIndex) -> _Plan | None:
        """Return what is to be written; None: another program wrote the file, a crash came, or something is damaged."""
        stamp = parse_export_stamp(snapshot.export.signature)
        if found.signatures != IndexSignatures(stamp.signature if stamp else None, None):
            return None
        try:
            before = index_json.decode(found.content) if found.content else Index()
        except InvalidLayoutError:
            return None
        whole = stamp is not None and stamp.whole
        kept = {(order(entry), entry.digest): entry for entry in before.entries}
        needed: dict[Digest, None] = {}
        entries: list[IndexEntry] = []
        for entry in _entries(snapshot):
            known = kept.get((order(entry), entry.digest))
            if known is None or not whole:
                needed[entry.digest] = None
            others = {} if known is None else {"annotations": known.annotations, "others": known.others}
            entries.append(msgspec.structs.replace(entry, **others))
        contents: dict[Digest, bytes] = {}
        for digest in needed:
            read = await read_manifest(self._catalog, self._storage, self._damage, repository, digest, FoundBy.EXPORT)
            if read.content is None:
                return None
            contents[digest] = read.content
        for held in snapshot.held:
            if not has_digest(held.content, held.digest):
                return None
            contents[held.digest] = held.content
        lines = [each.line for each in snapshot.carried if each.line]
        index = index_json.encode_whole(before.head.showing(snapshot.shown_ns), [*entries, *lines])
        listed = {entry.digest for entry in entries} | {each.digest for each in snapshot.carried}
        gone = {entry.digest for entry in before.entries} - listed if whole else ()
        return _Plan(snapshot, found.signatures.current, index, contents, sorted(gone))

    async def _write(self, plans: Mapping[Repository, _Plan]) -> set[Repository]:
        if not plans:
            return set()
        staging = asyncio.create_task(self._files.stage_all({name: plan.encoded for name, plan in plans.items()}))
        contents = {name: plan.contents for name, plan in plans.items() if plan.contents}
        # Side by side, so that their syncs meet in the same commits of the journal.
        await _all((staging, self._storage.put_all(contents)))
        staged = staging.result()
        owner = self._catalog.owner
        begin = [BeginExport(repository=name, digest=staged[name].digest, owner=owner) for name in plans]
        release = [plan.release(name) for name, plan in plans.items() if plan.snapshot.held]
        begun = (await self._do([*begin, *release]))[: len(begin)]
        placed = await self._files.place_all(
            {
                name: Replacement(staged[name], plan.seen)
                for (name, plan), is_there in zip(plans.items(), begun, strict=True)
                if is_there
            }
        )
        await self._do([plans[name].finish(name, staged[name].digest, each) for name, each in placed.items()])
        for name in placed:
            for digest in plans[name].gone:
                await remove_manifest_file(self._catalog, self._storage, name, digest)
        # A file that another program wrote at the last moment is merged by an export alone. A repository that was
        # removed concurrently is not due any more.
        return {name for name, each in placed.items() if not each.over_another}

    async def _do(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Carry commands out that travel together, and mostly are one commit."""
        return await _all(self._catalog.do(command) for command in commands)


def _entries(snapshot: LayoutSnapshot) -> Iterator[IndexEntry]:
    """Iterate over the entries, in their order: tags by name, then manifests without a tag by digest."""
    manifests = {each.digest: each for each in snapshot.manifests}
    for tag in snapshot.tags:
        manifest = manifests[tag.digest]
        yield IndexEntry(manifest.digest, manifest.media_type, manifest.size, tag.name, name=tag.written)
    for manifest in snapshot.manifests:
        if not manifest.tags and not manifest.carried:
            yield IndexEntry(manifest.digest, manifest.media_type, manifest.size)


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Wait until all have ended; then return their outcomes, or raise the first error."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes  # type: ignore[return-value] # none is an error
