"""Scrub: read all content and verify its digests; stop serving damaged content, and heal it if possible.

A damaged blob is quarantined, so that its repository lacks it, and healed from an intact copy of another repository. A
copy that shares its bytes with the damaged one is damaged, too, and is quarantined when the scrub reaches it. A blob
that cannot be healed is healed by its next push: clients send the blobs that a registry lacks.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence

import msgspec

from zot.catalog import paging
from zot.catalog.rows import BlobRow
from zot.foundation.threads import ThreadPool
from zot.logs.fields import fields
from zot.maintenance import usage
from zot.maintenance.content_verifier import ContentVerifier
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.scheduler import ReportProgress
from zot.maintenance.sweep_stats import Pauses
from zot.maintenance.units import size as text_of_size
from zot.oci.digest import Digest, has_digest, hex_of
from zot.oci.lenient import parse_leniently
from zot.oci.media_types import INDEXES
from zot.oci.names import Repository
from zot.registry import blobs
from zot.registry.blob_deletion import quarantine_damaged
from zot.registry.damage import BAD_DIGEST, NOT_FOUND, FoundBy
from zot.registry.errors import RegistryError
from zot.registry.existing_files import register_existing
from zot.registry.manifest_bytes import read_manifest
from zot.registry.registry import Registry

_log = logging.getLogger("zot.scrub")

RATE_BYTES_S = 64 << 20
"""The read rate of a scrub in a running server, which leaves the disk to requests."""

_STEP_BYTES = 4 << 20


class ScrubResult(msgspec.Struct, frozen=True):
    """A tag or an untagged manifest, and whether all content that it needs is intact."""

    repository: Repository
    tag: str
    """Its digest if it has no tag."""
    ok: bool
    affected: str = ""
    """The first damaged digest, in hexadecimal digits."""
    error: str = ""
    healed: bool = False
    """Whether another copy replaced it."""


class _Damage(msgspec.Struct, frozen=True):
    error: str
    healed: bool


class Scrubber:
    """Verifies one registry's content."""

    def __init__(
        self,
        registry: Registry,
        layouts: CollectedLayouts,
        hash_pool: ThreadPool,
        *,
        rate_bytes_s: float = RATE_BYTES_S,
    ) -> None:
        """Read at most `rate_bytes_s` bytes a second."""
        self._registry = registry
        self._catalog = registry.catalog
        self._storage = registry.storage
        self._layouts = layouts
        self._rate_bytes_s = rate_bytes_s
        self._verifier = ContentVerifier(registry.storage, hash_pool)

    async def run(self, report: ReportProgress) -> Pauses:
        """Verify all content in steps, as a task. Raises CatalogError, StorageError."""
        found: list[ScrubResult] = []
        async for pause_s in self.verify(report, found.append):
            yield pause_s

    async def verify(self, report: ReportProgress, add_result: Callable[[ScrubResult], object]) -> Pauses:
        """Verify each repository and report on its tags. Raises CatalogError, StorageError."""
        self._verifier.forget()
        read_bytes = damaged = verified_repositories = 0
        # An upper bound: bytes that repositories share are read once.
        total = text_of_size(sum([row.bytes async for row in usage.repositories(self._catalog, None)]))
        async for repository in paging.repositories(self._catalog):
            row = await self._catalog.repository(repository)
            if row is None or not row.imported:
                continue
            _log.info("executing scrub to check manifest/blob integrity for %s", repository, extra=_about(repository))
            await self._layouts.ready(repository)
            damages: dict[Digest, _Damage] = {}
            async for size in self._verify_blobs(repository, damages):
                read_bytes += size
                found = damaged + len(damages)
                report(f"{text_of_size(read_bytes)} of {total} read, {found} blobs damaged; now at {repository}")
                yield size / self._rate_bytes_s
            damaged += len(damages)
            async for verified in self._manifests(repository, damages):
                _log_result(verified)
                add_result(verified)
            yield 0
            verified_repositories += 1
            _log.info("scrub successfully completed for %s", repository, extra=_about(repository))
        report(f"{text_of_size(read_bytes)} of {verified_repositories} repositories read, {damaged} blobs damaged")

    # --- blobs ---

    async def _verify_blobs(self, repository: Repository, damages: dict[Digest, _Damage]) -> AsyncGenerator[int, None]:
        """Verify the repository's blobs; yield the number of bytes read since the last yield."""
        unreported = 0
        async for page in paging.blob_pages(self._catalog, repository):
            for digest, _ in page:
                row = await self._catalog.blob(repository, digest)
                if row is None:  # removed concurrently
                    continue
                error = ""
                async for read in self._read(repository, digest, row):
                    if isinstance(read, str):
                        error = read
                    else:
                        unreported += read
                    if unreported >= _STEP_BYTES:
                        yield unreported
                        unreported = 0
                # The file of an unread manifest belongs to another program, and stays where it is.
                if error and not await self._catalog.carried_as(repository, digest):
                    damages[digest] = await self._quarantine(repository, digest, row, error)
            yield unreported
            unreported = 0

    async def _read(self, repository: Repository, digest: Digest, row: BlobRow) -> AsyncGenerator[int | str, None]:
        """Read a present blob where its bytes are; yield the number of bytes read, and a text if it is damaged."""
        content = await self._catalog.held_content(repository, digest) if row.held else None
        if content is None:
            async for read in self._verifier.read(repository, digest, row.size):
                yield read
            return
        yield len(content)
        if not has_digest(content, digest):
            yield f"{BAD_DIGEST} of a blob in the catalog"

    async def _quarantine(self, repository: Repository, digest: Digest, row: BlobRow, error: str) -> _Damage:
        """Quarantine a damaged blob, and replace it by an intact copy if there is one."""
        if not await quarantine_damaged(self._registry, repository, digest, row, error, FoundBy.SCRUB):
            # Unless the registry is read-only, it was removed or pushed again concurrently.
            return _Damage(error, healed=not self._registry.read_only)
        return _Damage(error, await self._heal(repository, digest, row.size))

    async def _missing(self, repository: Repository, digest: Digest, size: int) -> _Damage:
        """Heal a blob that was found damaged or missing earlier by a copy that was added since.

        A file that an operator restored in its place is used. Another repository's copy is used only for a blob that
        existed here: a manifest that names a digest grants no right to the content of another repository.
        """
        if self._registry.read_only:
            return _Damage(NOT_FOUND, healed=False)
        if await self._verifier.is_intact(repository, digest, size):
            return _Damage(NOT_FOUND, await register_existing(self._catalog, self._storage, repository, digest))
        if not await self._storage.is_quarantined(repository, digest):
            return _Damage(NOT_FOUND, healed=False)
        return _Damage(NOT_FOUND, await self._heal(repository, digest, size))

    async def _heal(self, repository: Repository, digest: Digest, size: int) -> bool:
        async for holder in paging.repositories_with(self._catalog, digest):
            row = await self._catalog.blob(holder, digest)
            if holder == repository or row is None or row.size != size:
                continue
            if [read async for read in self._read(holder, digest, row) if isinstance(read, str)]:
                continue
            try:
                healed = await blobs.mount(self._registry, repository, digest, holder, lambda _: True)
            except RegistryError as error:
                _log.warning("%s of %s is not healed: %s", digest, repository, error)
                return False
            if healed:
                about = _about(repository, digest=digest)
                _log.info("%s of %s is healed from another copy", digest, repository, extra=about)
            return healed
        return False

    # --- manifests ---

    async def _manifests(
        self, repository: Repository, damages: dict[Digest, _Damage]
    ) -> AsyncGenerator[ScrubResult, None]:
        """Yield the results of the repository's tags, and of its untagged manifests."""
        known: dict[Digest, tuple[Digest, _Damage] | None] = {}
        async for manifest in paging.manifests(self._catalog, repository):
            affected = await self._affected(repository, manifest.digest, manifest.media_type, damages, known)
            if not self._registry.read_only and await self._restored(repository, manifest.digest):
                affected = affected or (manifest.digest, _Damage(NOT_FOUND, healed=True))
            for tag in manifest.tags or (manifest.digest,):
                if affected is None:
                    yield ScrubResult(repository, tag, ok=True)
                else:
                    digest, damage = affected
                    yield ScrubResult(repository, tag, damage.healed, hex_of(digest), damage.error, damage.healed)

    async def _restored(self, repository: Repository, digest: Digest) -> bool:
        """Write a missing or damaged file of a manifest again; return whether the layout had listed it.

        The catalog has the bytes and serves them; other programs that read the layout, and a start without the catalog,
        need the file. Before the first export it does not exist.
        """
        if await self._storage.is_whole(repository, digest):
            return False
        row, content = await self._catalog.repository(repository), None
        if row is not None and row.revision == row.exported:
            content = await self._catalog.manifest_content(repository, digest)
        if content is None or not has_digest(content, digest):
            return False
        await self._storage.put(repository, digest, content)
        outcome = "the manifest's file is written again from the catalog"
        self._registry.damage.report(repository, digest, NOT_FOUND, FoundBy.SCRUB, outcome)
        return True

    async def _affected(
        self,
        repository: Repository,
        digest: Digest,
        media_type: str,
        damages: dict[Digest, _Damage],
        known: dict[Digest, tuple[Digest, _Damage] | None],
    ) -> tuple[Digest, _Damage] | None:
        """Return the first damage to a manifest or to what it lists, or None if all of it is intact."""
        if digest not in known:
            known[digest] = None  # ends the recursion of an index that lists itself
            known[digest] = await self._first_damage(repository, digest, media_type, damages, known)
        return known[digest]

    async def _first_damage(
        self,
        repository: Repository,
        digest: Digest,
        media_type: str,
        damages: dict[Digest, _Damage],
        known: dict[Digest, tuple[Digest, _Damage] | None],
    ) -> tuple[Digest, _Damage] | None:
        registry = self._registry
        read = await read_manifest(
            self._catalog,
            self._storage,
            registry.damage,
            repository,
            digest,
            FoundBy.SCRUB,
            mends=not registry.read_only,
        )
        if read.damaged:
            healed = read.content is not None and not registry.read_only
            return digest, _Damage(BAD_DIGEST, healed)
        if read.content is None:  # deleted concurrently
            return None
        parsed = parse_leniently(read.content, media_type).manifest
        for descriptor in parsed.blobs:
            blob = Digest(descriptor.digest)
            if blob in damages:
                return blob, damages[blob]
            if await self._catalog.blob(repository, blob) is None:
                return blob, await self._missing(repository, blob, descriptor.size)
        if media_type in INDEXES:
            for child in parsed.children:
                row = await self._catalog.resolve(repository, Digest(child.digest))
                # An index may list manifests that are elsewhere.
                if row is not None:
                    found = await self._affected(repository, row.digest, row.media_type, damages, known)
                    if found is not None:
                        return found
        return None


def _log_result(verified: ScrubResult) -> None:
    values = {
        "component": "scrub",
        "image": verified.repository,
        "tag": verified.tag,
        "status": "ok" if verified.ok else "affected",
    }
    if not verified.affected:
        _log.info("blobs/manifest ok", extra=fields(**values))
        return
    values |= {"affected blob": verified.affected, "error": verified.error}
    _log.info("blobs/manifest affected", extra=fields(**values))


def table(rows: Sequence[ScrubResult]) -> list[tuple[str, ...]]:
    """Return zot's table: REPOSITORY, TAG, STATUS, AFFECTED BLOB, ERROR."""
    return [
        (
            each.repository,
            each.tag,
            "healed" if each.healed else "ok" if each.ok else "affected",
            each.affected,
            each.error,
        )
        for each in rows
    ]


def _about(repository: Repository, **more: object) -> dict[str, object]:
    return fields(component="scrub", image=repository, **more)
