"""Tags as they were: their log, how they stood at a time, and back to where they pointed.

A manifest that a tag left stays until collection takes it, no sooner than `retention.delay` after a sweep found it
untagged. Until then the tag can be brought back.
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
    """Why a tag is not brought back, in one sentence."""


class TagAt(msgspec.Struct, frozen=True):
    """Where a tag pointed."""

    repository: Repository
    tag: Tag
    digest: Digest
    here: bool
    """The manifest is still here: it can be pulled by its digest, and the tag can be brought back to it."""


async def as_of(catalog: Catalog, repository: Repository, tag: Tag | None, at_ns: int) -> list[TagAt]:
    """Return where a tag, or each tag of a repository, pointed at a time, by name; those that were not are not told.

    Raises CatalogError.
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
    """Bring a tag back to a digest, None: to where it pointed before its last change. Durable when it returns.

    Undoing it again goes back again. Raises RestoreRefusedError, CatalogError.
    """
    if digest is None:
        last = next(iter(await catalog.tag_log(repository, tag, None, 1)), None)
        if last is None:
            raise RestoreRefusedError(f"nothing is known of a tag {tag} in {repository}")
        if last.before is None:
            raise RestoreRefusedError(f"{tag} was created by its last change: there is nothing to go back to")
        digest = last.before
    command = RestoreTag(repository=repository, digest=digest, move=TagMove(tag), by=by, source=ChangeSource.OPERATOR)
    outcome = await catalog.do(command)
    match outcome:
        case Stored():
            return TagAt(repository, tag, digest, here=True)
        case Absent():
            raise RestoreRefusedError(f"{digest} is not in {repository} any more: collection has taken it")
        case _:
            raise RestoreRefusedError(f"{tag} may not be moved: {outcome.why}")
