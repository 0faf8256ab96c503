"""Tags of the past: their manifests at a time, and restoring a tag to an earlier manifest.

A manifest that lost its tag stays until collection deletes it, no sooner than `retention.delay` after a sweep found it
untagged. Until then the tag can be restored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from zot.catalog import paging
from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import Absent, RestoreTag, Stored, TagMove, TagPosition
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag


class RestoreRefusedError(Exception):
    """The tag is not restored; the message says why in one sentence."""


class TagAt(msgspec.Struct, frozen=True):
    """The manifest of a tag at a time."""

    repository: Repository
    tag: Tag
    digest: Digest
    here: bool
    """Whether the manifest still exists, so that it can be pulled by its digest and the tag be restored to it."""


class TagReturn(msgspec.Struct, frozen=True):
    """A tag that points elsewhere than it did, and the manifest to point it at again."""

    tag: Tag
    digest: Digest
    now: TagPosition
    """Where the tag points now: what the restore expects."""


async def digests_at(catalog: Catalog, repository: Repository, tag: Tag | None, at_ns: int) -> dict[Tag, Digest]:
    """Return where a tag, or each tag of a repository, pointed at a time, sorted by name.

    Tags that did not exist then are left out. The cost of all tags grows with their number and with the changes since
    then. Raises CatalogError.
    """
    now = await _digests_now(catalog, repository, tag)
    return await _before(catalog, repository, tag, at_ns, now)


async def _digests_now(catalog: Catalog, repository: Repository, tag: Tag | None) -> dict[Tag, Digest]:
    if tag is None:
        return {row.name: row.digest async for row in paging.tags(catalog, repository)}
    row = await catalog.tag(repository, tag)
    return {tag: row.digest} if row is not None else {}


async def _before(
    catalog: Catalog, repository: Repository, tag: Tag | None, at_ns: int, now: Mapping[Tag, Digest]
) -> dict[Tag, Digest]:
    """Return where tags pointed at a time, from where they point now and what changed since."""
    pointed: dict[Tag, Digest | None] = dict(now)
    async for change in paging.tag_log(catalog, repository, tag):
        if change.at_ns <= at_ns:
            break
        pointed[change.tag] = change.before
    return {name: digest for name, digest in sorted(pointed.items()) if digest is not None}


async def as_of(catalog: Catalog, repository: Repository, tag: Tag | None, at_ns: int) -> list[TagAt]:
    """Return the manifest of a tag, or of each tag of a repository, at a time, as `digests_at` does."""
    found = await digests_at(catalog, repository, tag, at_ns)
    return await tags_at(catalog, repository, found.items())


async def tags_at(catalog: Catalog, repository: Repository, pointed: Iterable[tuple[Tag, Digest]]) -> list[TagAt]:
    """Return tags with where they pointed, and whether that is still here. Raises CatalogError."""
    return [
        TagAt(repository, name, digest, await catalog.resolve(repository, digest) is not None)
        for name, digest in pointed
    ]


async def last_return(catalog: Catalog, repository: Repository, tag: Tag) -> TagReturn:
    """Return how a tag gets back to its manifest before its last change. Raises RestoreRefusedError, CatalogError."""
    last = next(iter(await catalog.tag_log(repository, tag, None, 1)), None)
    if last is None:
        raise RestoreRefusedError(f"no change of a tag {tag} in {repository} is known")
    if last.before is None:
        raise RestoreRefusedError(f"{tag} was created by its last change: there is nothing to go back to")
    return TagReturn(tag, last.before, TagPosition(last.after))


async def returns_to(catalog: Catalog, repository: Repository, tag: Tag | None, at_ns: int) -> list[TagReturn]:
    """Return how a tag, or each tag of a repository, gets back to where it pointed at a time; of others nothing.

    Raises CatalogError.
    """
    now = await _digests_now(catalog, repository, tag)
    then = await _before(catalog, repository, tag, at_ns, now)
    return [
        TagReturn(name, digest, TagPosition(now.get(name))) for name, digest in then.items() if now.get(name) != digest
    ]


async def restore(catalog: Catalog, repository: Repository, tag: Tag, digest: Digest | None, by: str) -> TagAt:
    """Restore a tag to a digest or, with None, to its manifest before its last change. Durable.

    Restored twice with None, a tag is at its first manifest again. Raises RestoreRefusedError, CatalogError.
    """
    if digest is None:
        digest = (await last_return(catalog, repository, tag)).digest
    command = RestoreTag(repository=repository, digest=digest, move=TagMove(tag), by=by, source=ChangeSource.OPERATOR)
    outcome = await catalog.do(command)
    match outcome:
        case Stored():
            return TagAt(repository, tag, digest, here=True)
        case Absent():
            raise RestoreRefusedError(f"{repository} has no manifest {digest}: it was deleted")
        case _:
            raise RestoreRefusedError(f"{tag} may not be moved: {outcome.why}")
