"""The deletion of a blob: doom its row, delete its file, forget the row. Every caller deletes by it."""

from __future__ import annotations

import asyncio
import time

from zot.catalog.blob_commands import Disposal, DoomBlob, DoomOutcome, ForgetBlob
from zot.catalog.command import ChangeSource, new_id
from zot.catalog.interface import Catalog
from zot.catalog.rows import BlobRow
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.damage import FoundBy
from zot.registry.registry import Registry
from zot.storage.interface import REMOVAL_DECIDED_S, Storage, StorageUnavailableError


async def delete_blob(catalog: Catalog, storage: Storage, doom: DoomBlob) -> DoomOutcome:
    """Delete a blob if the conditions of `doom` hold, and return what came of them.

    With DOOMED the blob is gone, durably, and so is its file. A caller that is cancelled leaves no blob half deleted.
    Raises CatalogError, StorageError; the deletion is then completed by `maintenance.unfinished_deletes`.
    """
    begun_s = time.monotonic()
    outcome = await catalog.do(doom)
    if outcome is DoomOutcome.DOOMED:
        finishing = finish_delete(
            catalog, storage, doom.repository, doom.digest, doom.token, doom.disposal, begun_s=begun_s
        )
        await asyncio.shield(finishing)
    return outcome


async def finish_delete(
    catalog: Catalog,
    storage: Storage,
    repository: Repository,
    digest: Digest,
    token: str,
    disposal: Disposal,
    *,
    begun_s: float,
) -> None:
    """Dispose of the file of a blob doomed under `token`, then forget its row. Idempotent.

    `begun_s` is when the caller began, by the monotonic clock. After an error the removal may still take effect for a
    while (`Storage.removal_expires_s`): the row stays, so that no push stores what is removed late. Raises
    CatalogError, StorageError.
    """
    # A process that stood still is late: the delete may have been finished in its place, and the blob pushed again.
    if removal_expires_s(storage, repository, disposal) and time.monotonic() - begun_s > REMOVAL_DECIDED_S:
        raise StorageUnavailableError(f"the delete of {digest} from {repository} was delayed: it is finished later")
    match disposal:
        case Disposal.UNLINK:
            await storage.remove(repository, digest)
        case Disposal.QUARANTINE:
            await storage.quarantine(repository, digest)
        case Disposal.NO_FILE:
            pass
    await catalog.do(ForgetBlob(repository=repository, digest=digest, token=token))
    # A manifest of the same bytes may have been pushed concurrently: its layout shows it by the file just unlinked.
    content = await catalog.manifest_content(repository, digest)
    if content is not None:
        await storage.put(repository, digest, content)


def removal_expires_s(storage: Storage, repository: Repository, disposal: Disposal) -> float:
    """Return how long a pending delete may still take effect after its process died or its removal failed."""
    return 0.0 if disposal is Disposal.NO_FILE else storage.removal_expires_s(repository)


async def quarantine_damaged(
    registry: Registry, repository: Repository, digest: Digest, seen: BlobRow, error: str, found_by: FoundBy
) -> bool:
    """Make a damaged blob absent: it is 404, and missing where it is named, until it is pushed again.

    `seen` is its row from before the damage was seen: a blob that was pushed since then stays. Its file is kept in the
    quarantine. Durable when it returns. False: nothing was changed, because the blob was deleted or pushed
    concurrently, a push of it is under way, or the registry is read-only. Raises StorageError unless the store is the
    expected one: on a disk that is not mounted everything is missing.
    """
    if registry.read_only:
        registry.damage.report(repository, digest, error, found_by, "it is left as it is: the registry is read-only")
        return False
    await registry.storage.ready(repository)
    source = ChangeSource.SCRUB if found_by is FoundBy.SCRUB else ChangeSource.CLIENT
    doom = DoomBlob(
        repository=repository,
        digest=digest,
        token=new_id(),
        owner=registry.catalog.owner,
        damaged=True,
        placed_ns=seen.placed_ns,
        source=source,
        disposal=Disposal.QUARANTINE,
    )
    outcome = await delete_blob(registry.catalog, registry.storage, doom)
    if outcome is not DoomOutcome.DOOMED:
        return False
    registry.damage.report(repository, digest, error, found_by, "it is missing until it is pushed again")
    return True
