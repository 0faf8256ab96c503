"""What collection would remove of a repository, and why, before it removes anything.

The same rules as in a sweep, followed to their end: what is untagged by a policy goes later, what only that kept goes
after it, and at last the blobs that nothing names any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import StrEnum

import msgspec

from zot.catalog.interface import Catalog
from zot.catalog.rows import DanglingManifest
from zot.maintenance import retention_input
from zot.maintenance.repository_graph import RepositoryGraph
from zot.maintenance.retention import REFERRER, RepositoryRetention, RetentionDecision, attached_to
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

UNREFERENCED = "no manifest names it"


class DeleteKind(StrEnum):
    """What goes."""

    TAG = "tag"
    MANIFEST = "manifest"
    BLOB = "blob"


class PlannedDelete(msgspec.Struct, frozen=True):
    """Something that collection removes."""

    repository: Repository
    kind: DeleteKind
    name: str
    """The tag, or the digest."""
    reason: str
    size: int = 0
    """Bytes of a manifest or blob."""
    shared: bool = False
    """Another repository has the same bytes: no room comes free while it does."""
    after_s: float = 0.0
    """How long a sweep has to find it unkept before it goes, 0 for tags: they go at once."""


class TagDecision(msgspec.Struct, frozen=True):
    """What a policy decides about a tag."""

    repository: Repository
    tag: str
    digest: Digest
    keep: bool
    reason: str
    media_type: str
    pushed_s: float | None
    pulled_s: float | None


class CollectionPreview(msgspec.Struct, frozen=True):
    """What would become of a repository."""

    repository: Repository
    tags: list[TagDecision]
    """Of every tag that a policy decides about."""
    going: list[PlannedDelete]

    def of(self, tag: Tag, needed: Collection[str]) -> CollectionPreview:
        """Return the part of it that concerns a tag, and of what the tag `needed` that which goes with it."""
        going = [
            each for each in self.going if (each.name == tag if each.kind is DeleteKind.TAG else each.name in needed)
        ]
        return CollectionPreview(self.repository, [each for each in self.tags if each.tag == tag], going)

    @property
    def bytes_free(self) -> int:
        """Bytes that come free."""
        return sum(each.size for each in self.going if not each.shared)

    @property
    def bytes_shared(self) -> int:
        """Bytes that go here and stay elsewhere."""
        return sum(each.size for each in self.going if each.shared)


class Delays(msgspec.Struct, frozen=True):
    """How long what is unkept stays."""

    manifests_s: float
    blobs_s: float


async def preview(
    catalog: Catalog,
    repository: Repository,
    contents: RepositoryGraph,
    policy: RepositoryRetention,
    known: retention_input.Known,
    delays: Delays,
    now_s: float,
) -> CollectionPreview:
    """Return what collection would remove in the end, if nothing was pushed, pulled or asked for any more."""
    tagged = [
        retention_input.candidate(details, tag, known.get(digest))
        for digest, details in contents.manifests.items()
        if details.whole
        for tag in details.tags
    ]
    decisions = policy.tags(tagged, now_s)
    gone = {each.candidate.tag for each in decisions if not each.keep}
    tags = {tag: digest for tag, digest in contents.tags.items() if tag not in gone}
    going = [
        PlannedDelete(repository, DeleteKind.TAG, each.candidate.tag or "", each.reason)
        for each in decisions
        if not each.keep
    ]
    if contents.unread:
        return CollectionPreview(repository, [_told(repository, each) for each in decisions], going)
    manifests = dict(contents.manifests)
    for kind, name, reason in _to_the_end(contents, policy, known, tags, now_s):
        size = 0 if kind is DeleteKind.TAG else manifests.pop(Digest(name)).size
        shared = kind is DeleteKind.MANIFEST and await _is_elsewhere(catalog, repository, Digest(name))
        after_s = delays.blobs_s if kind is DeleteKind.TAG else delays.manifests_s
        going.append(PlannedDelete(repository, kind, name, reason, size, shared, after_s))
    named = contents.blobs_of(manifests)
    for digest, size in contents.blobs.items():
        if digest not in named and digest not in manifests:
            # The bytes of a manifest that goes were counted with it.
            counted = 0 if digest in contents.manifests else size
            shared = await _is_elsewhere(catalog, repository, digest)
            going.append(
                PlannedDelete(repository, DeleteKind.BLOB, digest, UNREFERENCED, counted, shared, delays.blobs_s)
            )
    return CollectionPreview(repository, [_told(repository, each) for each in decisions], going)


def _told(repository: Repository, decision: RetentionDecision) -> TagDecision:
    of = decision.candidate
    return TagDecision(
        repository, of.tag or "", of.digest, decision.keep, decision.reason, of.media_type, of.pushed_s, of.pulled_s
    )


def _to_the_end(
    contents: RepositoryGraph,
    policy: RepositoryRetention,
    known: retention_input.Known,
    tags: dict[Tag, Digest],
    now_s: float,
) -> Iterator[tuple[DeleteKind, str, str]]:
    """Yield what goes after the tags, in the order in which sweeps come to it, until nothing more does."""
    left = dict(contents.manifests)
    more = True
    while more:
        more = False
        for tag in [tag for tag in tags if _is_left_over(tag, policy, left)]:
            del tags[tag]
            more = True
            yield DeleteKind.TAG, tag, REFERRER
        loose = _loose(contents, left, set(tags.values()))
        for digest, reason in _not_kept(policy, loose, known, now_s):
            del left[digest]
            more = True
            yield DeleteKind.MANIFEST, digest, reason


def _is_left_over(tag: Tag, policy: RepositoryRetention, left: Collection[Digest]) -> bool:
    image = attached_to(tag) if policy.delete_referrers else None
    return image is not None and image not in left


def _loose(contents: RepositoryGraph, left: Collection[Digest], tagged: set[Digest]) -> list[DanglingManifest]:
    listed = {child for digest in left for child in contents.children[digest]}
    return [
        DanglingManifest(digest, each.media_type, each.size, each.subject, each.pushed_ns, None)
        for digest in left
        for each in (contents.manifests[digest],)
        if digest not in tagged and digest not in listed and each.subject not in left and not each.carried
    ]


def _not_kept(
    policy: RepositoryRetention, loose: list[DanglingManifest], known: retention_input.Known, now_s: float
) -> Iterator[tuple[Digest, str]]:
    for decision in policy.untagged(retention_input.untagged(loose, known), now_s):
        if not decision.keep:
            yield decision.candidate.digest, decision.reason
    if policy.delete_referrers:
        yield from ((each.digest, REFERRER) for each in loose if each.subject)


async def _is_elsewhere(catalog: Catalog, repository: Repository, digest: Digest) -> bool:
    return any(holder != repository for holder in await catalog.repositories_with(digest, "", 2))
