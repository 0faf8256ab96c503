"""Tags of the past: their manifests at a time, and restoring a tag to an earlier manifest.

A manifest that lost its tag stays until collection deletes it, no sooner than `retention.delay` after a sweep found it
untagged. Until then the tag can be restored.
"""

from __future__ import annotations

import msgspec

from zot.catalog import paging
from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import Absent, RestoreTag, Stored, TagMove
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


async def as_of(catalog: Catalog, repository: Repository, tag: Tag | None, at_ns: int) -> list[TagAt]:
    """Return the manifest of a tag, or of each tag of a repository, at a time, sorted by name.

    Tags that did not exist then are left out. Raises CatalogError.
    """
    pointed: dict[Tag, Digest | None] = {
        row.name: row.digest async for row in paging.tags(catalog, repository) if tag in (None, row.name)
    }
    async for change in paging.tag_log(catalog, repository, tag):
        if change.at_ns <= at_ns:
            break
        pointed[change.tag] = change.before
    return [
        TagAt(repository, name, digest, await catalog.resolve(repository, digest) is not None)
        for name, digest in sorted(pointed.items())
        if digest is not None
    ]


async def restore(catalog: Catalog, repository: Repository, tag: Tag, digest: Digest | None, by: str) -> TagAt:
    """Restore a tag to a digest or, with None, to its manifest before its last change. Durable.

    Restored twice with None, a tag is at its first manifest again. Raises RestoreRefusedError, CatalogError.
    """
    if digest is None:
        last = next(iter(await catalog.tag_log(repository, tag, None, 1)), None)
        if last is None:
            raise RestoreRefusedError(f"no change of a tag {tag} in {repository} is known")
        if last.before is None:
            raise RestoreRefusedError(f"{tag} was created by its last change: there is nothing to go back to")
        digest = last.before
    command = RestoreTag(repository=repository, digest=digest, move=TagMove(tag), by=by, source=ChangeSource.OPERATOR)
    outcome = await catalog.do(command)
    match outcome:
        case Stored():
            return TagAt(repository, tag, digest, here=True)
        case Absent():
            raise RestoreRefusedError(f"{repository} has no manifest {digest}: it was deleted")
        case _:
            raise RestoreRefusedError(f"{tag} may not be moved: {outcome.why}")
