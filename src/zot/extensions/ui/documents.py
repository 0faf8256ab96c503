"""The documents that artifacts carry: read bounded, recognised by their content, parsed in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from markupsafe import Markup

from zot.auth.decision import Policy
from zot.extensions.ui.attestation import Statement, read_statement
from zot.extensions.ui.json_fields import at, decode, indented, objects, text
from zot.extensions.ui.markdown import SOURCE_LIMIT_BYTES, render_markdown
from zot.extensions.ui.page import PageVisit
from zot.extensions.ui.sbom import Sbom, read_sbom
from zot.foundation.threads import ThreadPool
from zot.oci.digest import Digest, InvalidDigestError, parse_digest
from zot.oci.manifest import CONTAINERS_LIMIT
from zot.oci.names import Repository
from zot.registry import blobs
from zot.registry.errors import BlobUnknown
from zot.registry.registry import Registry
from zot.registry.request import PullBlob

DOCUMENT_LIMIT_BYTES = 4 * 1024 * 1024
"""The largest file that is opened, or downloaded from a page."""
SHOWN_LIMIT_BYTES = 64 * 1024
"""How much of a file is shown as text."""
_BESIDE_LIMIT_BYTES = 16 * 1024
"""The same of one that is shown as what it is, too."""
_PRETTY_LIMIT_BYTES = 512 * 1024
FILES_LIMIT = 100
"""Files of an artifact that are listed."""

_MARKDOWN_TYPES = frozenset({"text/markdown", "text/x-markdown"})
_MARKDOWN_NAMES = (".md", ".markdown")
_TITLE = "org.opencontainers.image.title"
_TAR = ("+gzip", "+zstd", ".gzip", ".zstd", ".tar", "+tar", "tar+gzip")

T = TypeVar("T")


class ArtifactFile(msgspec.Struct, frozen=True):
    """A layer of an artifact, which holds a file."""

    digest: Digest
    media_type: str
    size: int
    """As the manifest claims it."""
    title: str = ""
    """The name of the file."""
    annotations: dict[str, str] = {}

    @property
    def is_markdown(self) -> bool:
        """Whether it is Markdown, by its type or its name."""
        return self.media_type in _MARKDOWN_TYPES or self.title.lower().endswith(_MARKDOWN_NAMES)


class OpenedDocument(msgspec.Struct, frozen=True):
    """What a file turned out to be. Nothing set: no text, or too large to be opened."""

    size: int
    sbom: Sbom | None = None
    statement: Statement | None = None
    markdown: Markup | None = None
    text: str | None = None
    is_cut: bool = False
    """Whether `text` is its beginning."""


def is_archive(media_type: str) -> bool:
    """Tell whether a layer of this type is a part of a file system, and no document."""
    return media_type.partition(";")[0].endswith(_TAR)


class DocumentReader:
    """Reads documents for visitors, one at a time: what a page holds of them is bounded whatever is asked for."""

    def __init__(self, registry: Registry, policy: Policy, pool: ThreadPool) -> None:
        """Read from a registry what the policy lets visitors pull; parse in the threads of `pool`."""
        self._registry = registry
        self._policy = policy
        self._pool = pool
        self._turn = asyncio.Lock()

    async def files(self, name: Repository, manifest: Digest) -> list[ArtifactFile] | None:
        """Return the files of an artifact, None if it is not here. Raises CatalogError, ThreadPoolBusyError."""
        content = await self._registry.catalog.manifest_content(name, manifest)
        return None if content is None else await self._pool.run(_files, content)

    async def opened(self, visit: PageVisit, name: Repository, file: ArtifactFile) -> OpenedDocument | None:
        """Return a file as what it is, None if it is missing. Raises as `read`, and ThreadPoolBusyError."""
        return await self._with(visit, name, file, lambda content: open_document(content, file))

    async def content(self, visit: PageVisit, name: Repository, file: ArtifactFile) -> bytes | None:
        """Return the bytes of a file, None if it is missing or too large. Raises as `read`."""
        return await self._read(visit, name, file)

    async def markdown(self, visit: PageVisit, name: Repository, file: ArtifactFile) -> Markup | None:
        """Return a file as Markdown, None if it is missing or too large. Raises as `read`, and ThreadPoolBusyError."""
        return await self._with(visit, name, file, _markdown)

    async def _with(
        self, visit: PageVisit, name: Repository, file: ArtifactFile, parse: Callable[[bytes], T]
    ) -> T | None:
        async with self._turn:
            content = await self._read(visit, name, file)
            return None if content is None else await self._pool.run(parse, content)

    async def _read(self, visit: PageVisit, name: Repository, file: ArtifactFile) -> bytes | None:
        """Return at most `DOCUMENT_LIMIT_BYTES`. Raises CatalogError, StorageError."""
        request = PullBlob(repository=name, digest=file.digest)
        row = await self._registry.catalog.blob(name, file.digest)
        if row is None or row.size > DOCUMENT_LIMIT_BYTES:
            return None
        if not self._policy.decide(visit.principal, request, visit.context).allowed:
            return None
        try:
            content, row = await blobs.open_content(self._registry, request, row)
        except BlobUnknown:
            return None
        try:
            return await content.read(0, row.size) if row.size <= DOCUMENT_LIMIT_BYTES else None
        finally:
            content.close()


def _files(content: bytes) -> list[ArtifactFile]:
    if content.count(b"{") + content.count(b"[") > CONTAINERS_LIMIT:
        return []
    document = decode(content, dict[str, Any])
    listed = at(document, "layers") or at(document, "blobs")
    return [found for each in objects(listed, FILES_LIMIT) if (found := _file(each)) is not None]


def _file(descriptor: dict[str, Any]) -> ArtifactFile | None:
    try:
        digest = parse_digest(text(descriptor.get("digest")))
    except InvalidDigestError:
        return None
    size, notes = descriptor.get("size"), descriptor.get("annotations")
    annotations = {text(key): text(value) for key, value in list(notes.items())[:32]} if isinstance(notes, dict) else {}
    return ArtifactFile(
        digest,
        text(descriptor.get("mediaType")),
        size if isinstance(size, int) and size > 0 else 0,
        annotations.get(_TITLE, ""),
        annotations,
    )


def open_document(content: bytes, file: ArtifactFile) -> OpenedDocument:
    """Return what a file is. Blocks: for a thread."""
    size = len(content)
    if file.is_markdown:
        return OpenedDocument(size, markdown=_markdown(content))
    if content[:64].lstrip()[:1] in {b"{", b"["}:
        statement = read_statement(content)
        if statement is not None:
            shown, is_cut = _pretty(statement.predicate, _BESIDE_LIMIT_BYTES)
            return OpenedDocument(
                size, sbom=read_sbom(statement.predicate), statement=statement, text=shown, is_cut=is_cut
            )
        sbom = read_sbom(content)
        shown, is_cut = _pretty(content, SHOWN_LIMIT_BYTES if sbom is None else _BESIDE_LIMIT_BYTES)
        return OpenedDocument(size, sbom=sbom, text=shown, is_cut=is_cut)
    if b"\0" in content[:SHOWN_LIMIT_BYTES]:
        return OpenedDocument(size)
    try:
        content.decode()
    except UnicodeDecodeError:
        return OpenedDocument(size)
    sbom = read_sbom(content)
    limit_bytes = SHOWN_LIMIT_BYTES if sbom is None else _BESIDE_LIMIT_BYTES
    shown = content[:limit_bytes].decode(errors="replace")
    return OpenedDocument(size, sbom=sbom, text=shown, is_cut=size > limit_bytes)


def _pretty(content: bytes, limit: int) -> tuple[str, bool]:
    """Return JSON indented, or as it is if it is no JSON, cut to a size; and whether it was cut."""
    if len(content) <= _PRETTY_LIMIT_BYTES:
        return indented(content, limit)
    return content[:limit].decode(errors="replace"), True


def _markdown(content: bytes) -> Markup:
    return render_markdown(content[:SOURCE_LIMIT_BYTES].decode(errors="replace"))
