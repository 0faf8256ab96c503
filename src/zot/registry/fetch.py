"""What the registry lacks, from its upstreams: asked in order, verified, and stored as if it were pushed.

A manifest is stored without the blobs and manifests that it names: each is fetched when a client asks for it. A
read-only registry asks no upstream, since it could store nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from zot.catalog.command import ChangeSource
from zot.catalog.manifest_commands import TagMove
from zot.catalog.rows import BlobRow, ManifestRow
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag, as_tag
from zot.registry.blob_fetch import BY, BlobFetch, FetchedContent
from zot.registry.errors import DigestInvalid, ManifestInvalid, RegistryError, Unavailable
from zot.registry.manifest_commit import ManifestCommit, commit_manifest
from zot.registry.registry import Registry
from zot.registry.request import PushManifest
from zot.registry.sources import SourcedManifest, Upstream
from zot.storage.interface import SMALL_BYTES, StorageFullError

CHECK_LIMIT_S = 2.0
"""How long a pull of a tag that is here waits for its check."""

_Found = TypeVar("_Found")

_log = logging.getLogger("zot.registry")


async def fetch_manifest(registry: Registry, repository: Repository, reference: Reference) -> SourcedManifest | None:
    """Return a manifest of the first upstream that has it, once it is stored; a tag points to it then.

    None: no upstream has it. Raises Unavailable if one of them could not tell, QuotaExceeded, StorageFullError.
    """

    async def fetch(upstream: Upstream) -> SourcedManifest | None:
        found = await upstream.manifest(repository, reference)
        return found and await _store_manifest(registry, repository, reference, found)

    async def fetch_first() -> SourcedManifest | None:
        stored = await _first(registry, fetch)
        if stored is not None and (tag := as_tag(reference)):
            _set_checked(registry, repository, tag, told=True)
        return stored

    return await registry.fetches.join(("manifest", repository, reference), fetch_first)


async def fetch_blob(registry: Registry, repository: Repository, digest: Digest) -> BlobRow | None:
    """Return the row of a blob of the first upstream that has it, once it is stored.

    None: no upstream has it. Raises Unavailable if one of them could not tell, QuotaExceeded, StorageFullError.
    """
    started = _start(registry, repository, digest)
    return None if started is None else await asyncio.shield(started.task)


async def open_blob(registry: Registry, repository: Repository, digest: Digest) -> FetchedContent | None:
    """Open a blob that is on its way from the first upstream that has it, as soon as its size is known.

    A small one is stored by then. None: no upstream has it. Raises as `fetch_blob`.
    """
    started = _start(registry, repository, digest)
    if started is None:
        return None
    fetch, task = started
    await fetch.opened()
    if (fetch.size is None or fetch.size <= SMALL_BYTES or task.done()) and await asyncio.shield(task) is None:
        return None
    return FetchedContent(fetch)


class _Started(NamedTuple):
    fetch: BlobFetch
    task: asyncio.Task[BlobRow | None]


def _start(registry: Registry, repository: Repository, digest: Digest) -> _Started | None:
    """Return the fetch of a blob that is under way, else begin one; None: no upstream had it a moment ago."""
    key, fetches = ("blob", repository, digest), registry.fetches
    if fetches.was_in_vain(key):
        return None
    fetch = fetches.blobs.get(key)
    if fetch is None:
        fetch = BlobFetch(registry, repository, digest)
    task = fetches.start(key, lambda: _first(registry, fetch.run))
    if key not in fetches.blobs:
        fetches.blobs[key] = fetch
        task.add_done_callback(lambda _: fetches.blobs.pop(key).end())
    return _Started(fetch, task)


class CheckedTag(NamedTuple):
    """What a tag stands for, and whether that may be out of date."""

    row: ManifestRow
    stale: bool


async def check_tag(registry: Registry, repository: Repository, tag: Tag, row: ManifestRow) -> CheckedTag:
    """Return what a tag stands for, `row` so far, after the upstreams whose check of it is due were asked.

    While an upstream fails, or does not answer within CHECK_LIMIT_S, the tag stays as it is: an old answer is better
    than none, also where the new one cannot be stored. A check that takes longer goes on, for later requests.
    """
    if registry.read_only or not any(upstream.is_due(repository, tag) for upstream in registry.upstreams):
        return CheckedTag(row, stale=False)
    checking = registry.fetches.start(("check", repository, tag), lambda: _check(registry, repository, tag, row.digest))
    await asyncio.wait({checking}, timeout=CHECK_LIMIT_S)
    if not checking.done():
        return CheckedTag(row, stale=True)
    told = checking.result()
    return CheckedTag(await registry.catalog.resolve(repository, tag) or row, stale=not told)


async def _check(registry: Registry, repository: Repository, tag: Tag, known: Digest) -> bool:
    """Have a tag point where the first upstream that has it points; return whether the upstreams could tell.

    A tag that no upstream has stays.
    """
    told = True
    try:
        for upstream in registry.upstreams:
            digest = await upstream.resolve(repository, tag)
            if digest is None:
                continue
            if digest != known and (found := await upstream.manifest(repository, tag)) is not None:
                await _store_manifest(registry, repository, tag, found)
            break
    except (RegistryError, StorageFullError) as error:
        _log.warning("%s:%s is served as it was: %s", repository, tag, error)
        told = False
    _set_checked(registry, repository, tag, told=told)
    return told


def _set_checked(registry: Registry, repository: Repository, tag: Tag, *, told: bool) -> None:
    for upstream in registry.upstreams:
        upstream.checked(repository, tag, told=told)


async def fetch_referrers(registry: Registry, repository: Repository, subject: Digest) -> None:
    """Store what refers to a manifest at the upstreams, so that signatures are found where the image is.

    It returns after CHECK_LIMIT_S, and goes on behind. While an upstream fails, or what it has cannot be stored, the
    list has what is here.
    """
    if registry.read_only or not registry.upstreams:
        return

    async def fetch() -> None:
        for upstream in registry.upstreams:
            try:
                for digest in await upstream.referrers(repository, subject):
                    if await registry.catalog.resolve(repository, digest) is None:
                        await fetch_manifest(registry, repository, digest)
            except (RegistryError, StorageFullError) as error:
                _log.warning("referrers of %s in %s are listed as they were: %s", subject, repository, error)

    fetching = registry.fetches.start(("referrers", repository, subject), fetch)
    done, _ = await asyncio.wait({fetching}, timeout=CHECK_LIMIT_S)
    if done:
        fetching.result()


async def _first(registry: Registry, fetch: Callable[[Upstream], Coroutine[Any, Any, _Found | None]]) -> _Found | None:
    """Return what the first upstream gives that has it. Raises the first failure if none has it."""
    failed: Unavailable | None = None
    for upstream in () if registry.read_only else registry.upstreams:
        try:
            found = await fetch(upstream)
        except Unavailable as error:
            failed = failed or error
        else:
            if found is not None:
                return found
    if failed is not None:
        raise failed
    return None


async def _store_manifest(
    registry: Registry, repository: Repository, reference: Reference, found: SourcedManifest
) -> SourcedManifest:
    """Store a manifest of an upstream, and point the tag that was asked for at it. Raises Unavailable if it is invalid.

    Its blobs need not be here.
    """
    tag = as_tag(reference)
    expected = found.digest if tag else reference
    request = PushManifest(repository=repository, reference=expected, tags=(tag,) if tag else ())
    commit = ManifestCommit(
        request, found.content, found.media_type, [TagMove(tag)] if tag else [], BY, ChangeSource.SYNC
    )
    try:
        # A mirror keeps what its upstream has, byte for byte: Docker's types too.
        stored = await commit_manifest(replace(registry, sparse=True, docker_types=True), commit)
    except (DigestInvalid, ManifestInvalid) as error:
        raise Unavailable(f"an upstream sent an invalid manifest: {error}", reference=reference) from error
    return found._replace(digest=stored.digest)
