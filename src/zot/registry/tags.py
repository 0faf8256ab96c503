"""Tags: list and delete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from zot.catalog.manifest_commands import Absent, DeleteTag, Refusal, RestoreTag, TagMove, TagRefused
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.registry.errors import ManifestUnknown, NotGranted, RegistryError, TagChanged, TagImmutable
from zot.registry.pages import Page, Read, iter_steps, page_limit, read_page
from zot.registry.registry import Registry
from zot.registry.request import ListTags


async def page(registry: Registry, request: ListTags) -> Page[Tag]:
    """Return a page of tags after `last`, which need not exist. Raises NameUnknown, Unavailable."""
    await registry.known(request.repository)
    return await read_page(_reader(registry, request), str, request.last, page_limit(registry, request.limit))


async def iter_all(registry: Registry, request: ListTags) -> AsyncGenerator[Sequence[Tag]]:
    """Iterate over all tags after `last`, some at a time, as `pages.iter_steps` does.

    Raises NameUnknown, Unavailable before the first step.
    """
    await registry.known(request.repository)
    async for step in iter_steps(registry, _reader(registry, request), str, request.last):
        yield step


def _reader(registry: Registry, request: ListTags) -> Read[Tag]:
    async def read(after: str, count: int) -> Sequence[Tag]:
        return [row.name for row in await registry.catalog.tags(request.repository, after, count)]

    return read


async def delete(registry: Registry, repository: Repository, tag: Tag, *, immutable: bool, by: str) -> None:
    """Delete a tag; its manifest stays. Durable when it returns.

    `immutable` says whether the caller may not delete it. Raises ManifestUnknown, NameUnknown, TagImmutable,
    Unavailable.
    """
    registry.refuse_if_read_only()
    await registry.known(repository)
    outcome = await registry.catalog.do(DeleteTag(repository=repository, tag=tag, immutable=immutable, by=by))
    match outcome:
        case Absent():
            raise ManifestUnknown(reference=tag)
        case TagRefused():
            raise TagImmutable(f"tag {tag!r} is immutable", reference=tag)


async def restore(registry: Registry, repository: Repository, digest: Digest, move: TagMove, by: str) -> None:
    """Point a tag at a manifest that is still here. Durable when it returns.

    `move` says what the caller may do to the tag, and where it expects it. Raises ManifestUnknown, NameUnknown,
    NotGranted, TagImmutable, TagChanged, Unavailable.
    """
    registry.refuse_if_read_only()
    await registry.known(repository)
    outcome = await registry.catalog.do(RestoreTag(repository=repository, digest=digest, move=move, by=by))
    match outcome:
        case Absent():
            raise ManifestUnknown(reference=digest)
        case TagRefused():
            raise refusal_of(outcome)


def refusal_of(refused: TagRefused) -> RegistryError:
    """Return the error of a push or a restore that may not move or create a tag."""
    tag = refused.tag
    match refused.why:
        case Refusal.IMMUTABLE:
            return TagImmutable(f"tag {tag!r} is immutable and points elsewhere", reference=tag)
        case Refusal.MAY_NOT_MOVE:
            return NotGranted(f"tag {tag!r} exists, and moving it needs the action 'update'", reference=tag)
        case Refusal.ELSEWHERE:
            return TagChanged(f"tag {tag!r} does not point where it was expected", reference=tag)
        case Refusal.MAY_NOT_CREATE:
            return NotGranted(f"tag {tag!r} does not exist, and creating it needs the action 'create'", reference=tag)
