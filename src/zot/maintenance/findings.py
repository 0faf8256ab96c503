"""List what a store holds and the registry does not serve as it was stored, with the reasons."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from zot.catalog import paging
from zot.catalog.rows import CarriedEntry, Unread
from zot.oci.names import InvalidTagError, Repository, Tag, parse_name, parse_tag
from zot.registry.registry import Registry

_LINE_LENGTH = 200


class Finding(msgspec.Struct, frozen=True):
    """A manifest or directory that another program stored."""

    repository: str
    """Empty for a directory that is not a repository."""
    what: str
    """A path, a name, a digest, or the descriptor itself."""
    why: str
    keeps_all: bool = False
    """Whether it prevents collection in the repository."""


async def findings(registry: Registry) -> AsyncIterator[Finding]:
    """Iterate over the findings in the stores of a registry. Raises CatalogError, StorageError."""
    async for found in registry.layouts.unserved():
        yield Finding("", found.path, f"it is a layout that is not served: {found.why}")
    async for repository in paging.repositories(registry.catalog):
        async for entry in paging.carried(registry.catalog, repository):
            yield _of_entry(repository, entry)
        if await registry.catalog.unread(repository):
            async for manifest in paging.manifests(registry.catalog, repository):
                if not manifest.whole:
                    why = "its bytes are served, but what it needs is not known: they are not valid JSON"
                    yield Finding(repository, manifest.digest, why, keeps_all=True)


def _of_entry(repository: Repository, entry: CarriedEntry) -> Finding:
    name = entry.name or entry.digest or entry.line[:_LINE_LENGTH].decode(errors="replace")
    if entry.unread is Unread.TOO_LARGE:
        why = f"it is served from its file, but what it needs is not known: {entry.unread}"
    elif entry.unread is not None:
        why = f"it is not served: {entry.unread}"
    elif _is(parse_tag, name):
        why = f"another manifest has this tag: it is served as {entry.digest}"
    elif _is(parse_name, name):
        why = f"the name is not a tag, so it is not listed: it is served by its name and as {entry.digest}"
    else:
        why = f"the name is not a tag, and no URL can have it: it is served as {entry.digest}"
    return Finding(repository, name, why, keeps_all=entry.unread is not None)


def _is(parse: Callable[[str], Tag], name: str) -> bool:
    try:
        parse(name)
    except InvalidTagError:
        return False
    return True
