"""Sources: what the registry asks for content that its catalog does not have, one after the other.

The first source is the layouts below the registry's roots that are not imported yet (`zot.registry.unimported`): their
content is in the store already, and the import records it. Then come the upstreams, in the order of the
configuration: other registries, which this one mirrors. `zot.registry.fetch` asks them, and stores what they give.
A source is never asked for content that the catalog has, but for a tag whose check is due.

A source answers None if it does not have what is asked for: the next one is asked. A source that cannot tell raises
Unavailable. Layouts are part of this registry's own store, so that their failure is the request's. After an upstream
that fails the next one is asked; if none has the content, the request fails with 503, because 404 might be false.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag


class SourcedManifest(NamedTuple):
    """A manifest as a source has it, byte for byte."""

    digest: Digest
    media_type: str
    content: bytes


class SourcedBlob(NamedTuple):
    """A blob that an upstream sends."""

    size: int
    """Of the whole blob."""
    chunks: AsyncIterator[bytes]
    """Its bytes from where it was opened, read once. Raises Unavailable if the upstream fails midway."""


class Source(Protocol):
    """What has manifests and repositories that the catalog does not have."""

    async def manifest(self, repository: Repository, reference: Reference) -> SourcedManifest | None:
        """Return the manifest that a reference stands for, None if the source has none. Raises Unavailable."""

    async def names(self, after: str, limit: int) -> Sequence[Repository]:
        """Return names greater than `after` of repositories that the source has, in byte order.

        Raises Unavailable while it is not known yet which there are: a list is late rather than short.
        """


class Upstream(Source, Protocol):
    """A registry that this one mirrors. What it gives is verified and stored before it is served."""

    def is_due(self, repository: Repository, tag: Tag) -> bool:
        """Return whether the upstream has to be asked where a tag points now. It decides without I/O."""

    async def resolve(self, repository: Repository, tag: Tag) -> Digest | None:
        """Return the digest that a tag stands for now, None if the upstream has no such tag. Raises Unavailable."""

    def checked(self, repository: Repository, tag: Tag, *, told: bool) -> None:
        """Record that a tag was checked: it is due again after a while, sooner if it was not `told` where it points."""

    async def referrers(self, repository: Repository, subject: Digest) -> Sequence[Digest]:
        """Return manifests that name a manifest as their subject; none if it was asked a while ago. Raises Unavailable.

        There may be more: their number is bounded.
        """

    async def blob_size(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of a blob, None if the upstream has none. Raises Unavailable."""

    def blob(
        self, repository: Repository, digest: Digest, start: int = 0
    ) -> AbstractAsyncContextManager[SourcedBlob | None]:
        """Open a blob from an offset on for the length of the block, None if the upstream has none.

        Raises Unavailable.
        """
