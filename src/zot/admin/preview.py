"""Preview what collection would delete of a repository, with the reasons.

It applies the rules of a sweep to their end: tags by the policy, then manifests that become untagged, then those that
only these kept, and finally the blobs that no manifest names.
"""

from __future__ import annotations

from collections import Counter
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
_REASONS = 3


class DeleteKind(StrEnum):
    """The kind of content that is deleted."""

    TAG = "tag"
    MANIFEST = "manifest"
    BLOB = "blob"


class PlannedDelete(msgspec.Struct, frozen=True):
    """A tag, manifest or blob that collection would delete."""

    repository: Repository
    kind: DeleteKind
    name: str
    """The tag, or the digest."""
    reason: str
    size: int = 0
    """Bytes of a manifest or blob."""
    shared: bool = False
    """Whether another repository shares the bytes, so that no space is freed."""
    after_s: float = 0.0
    """Seconds for which it stays marked before it is deleted; 0 for tags, which are deleted at once."""


class TagDecision(msgspec.Struct, frozen=True):
    """The decision of a policy on a tag."""

    repository: Repository
    tag: str
    digest: Digest
    keep: bool
    reason: str
    media_type: str
    pushed_s: float | None
    pulled_s: float | None


class CollectionSummary(msgspec.Struct, frozen=True):
    """How much would be deleted of a repository."""

    repository: Repository
    tags: int
    manifests: int
    blobs: int
    bytes_free: int
    bytes_shared: int
    reasons: list[tuple[str, int]]
    """The most frequent ones, at most three, with how many deletes they cause."""

    @property
    def count(self) -> int:
        """How many tags, manifests and blobs."""
        return self.tags + self.manifests + self.blobs


class PlannedDeletes(msgspec.Struct, frozen=True):
    """A part of what would be deleted of a repository, and how much it is in all."""

    summary: CollectionSummary
    rows: list[PlannedDelete]
    tags: list[TagDecision]
    """A part of the decisions on tags; none: no rule deletes any."""
    decided: int
    """On how many tags there is a decision."""
    tags_only: bool = False
    """The repository is too large for a page: its manifests and blobs were not looked at."""


class CollectionPreview(msgspec.Struct, frozen=True):
    """The decisions on a repository."""

    repository: Repository
    tags: list[TagDecision]
    """The decisions on tags."""
    going: list[PlannedDelete]
    tags_only: bool = False
    """The manifests and blobs were not looked at."""

    def of(self, tag: Tag, needed: Collection[str]) -> CollectionPreview:
        """Return the part that concerns a tag: its decision, and the deletes among the content that it `needed`."""
        going = [
            each for each in self.going if (each.name == tag if each.kind is DeleteKind.TAG else each.name in needed)
        ]
        return CollectionPreview(self.repository, [each for each in self.tags if each.tag == tag], going)

    @property
    def summary(self) -> CollectionSummary:
        """How much would be deleted."""
        kinds = Counter(each.kind for each in self.going)
        return CollectionSummary(
            repository=self.repository,
            tags=kinds[DeleteKind.TAG],
            manifests=kinds[DeleteKind.MANIFEST],
            blobs=kinds[DeleteKind.BLOB],
            bytes_free=self.bytes_free,
            bytes_shared=self.bytes_shared,
            reasons=Counter(each.reason for each in self.going).most_common(_REASONS),
        )

    @property
    def bytes_free(self) -> int:
        """Bytes that are freed."""
        return sum(each.size for each in self.going if not each.shared)

    @property
    def bytes_shared(self) -> int:
        """Bytes that are deleted here and stay in other repositories."""
        return sum(each.size for each in self.going if each.shared)


class Delays(msgspec.Struct, frozen=True):
    """The delays of collection, in seconds."""

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
    """Return what collection would delete in the end, if no request reads or changes the repository."""
    tagged = [
        retention_input.candidate(details, tag, known.get(digest))
        for digest, details in contents.manifests.items()
        if details.whole
        for tag in details.tags
    ]
    decisions = sorted(policy.tags(tagged, now_s), key=lambda each: each.candidate.tag or "")
    gone = {each.candidate.tag for each in decisions if not each.keep}
    tags = {tag: digest for tag, digest in contents.tags.items() if tag not in gone}
    going = [
        PlannedDelete(repository, DeleteKind.TAG, each.candidate.tag or "", each.reason)
        for each in decisions
        if not each.keep
    ]
    if contents.unread or contents.tags_only:
        decided = [_tag_decision(repository, each) for each in decisions]
        return CollectionPreview(repository, decided, going, contents.tags_only)
    manifests = dict(contents.manifests)
    for kind, name, reason in _later_deletes(contents, policy, known, tags, now_s):
        size = 0 if kind is DeleteKind.TAG else manifests.pop(Digest(name)).size
        shared = kind is DeleteKind.MANIFEST and await _is_elsewhere(catalog, repository, Digest(name))
        after_s = delays.blobs_s if kind is DeleteKind.TAG else delays.manifests_s
        going.append(PlannedDelete(repository, kind, name, reason, size, shared, after_s))
    named = contents.blobs_of(manifests)
    for digest, size in contents.blobs.items():
        if digest not in named and digest not in manifests:
            # The bytes of a deleted manifest were counted with it.
            counted = 0 if digest in contents.manifests else size
            shared = await _is_elsewhere(catalog, repository, digest)
            going.append(
                PlannedDelete(repository, DeleteKind.BLOB, digest, UNREFERENCED, counted, shared, delays.blobs_s)
            )
    return CollectionPreview(repository, [_tag_decision(repository, each) for each in decisions], going)


def _tag_decision(repository: Repository, decision: RetentionDecision) -> TagDecision:
    of = decision.candidate
    return TagDecision(
        repository, of.tag or "", of.digest, decision.keep, decision.reason, of.media_type, of.pushed_s, of.pulled_s
    )


def _later_deletes(
    contents: RepositoryGraph,
    policy: RepositoryRetention,
    known: retention_input.Known,
    tags: dict[Tag, Digest],
    now_s: float,
) -> Iterator[tuple[DeleteKind, str, str]]:
    """Yield the deletes after those of the policy's tags, in the order in which sweeps reach them."""
    left = dict(contents.manifests)
    more = True
    while more:
        more = False
        for tag in [tag for tag in tags if _is_left_over(tag, policy, left)]:
            del tags[tag]
            more = True
            yield DeleteKind.TAG, tag, REFERRER
        dangling = _dangling(contents, left, set(tags.values()))
        for digest, reason in _not_kept(policy, dangling, known, now_s):
            del left[digest]
            more = True
            yield DeleteKind.MANIFEST, digest, reason


def _is_left_over(tag: Tag, policy: RepositoryRetention, left: Collection[Digest]) -> bool:
    image = attached_to(tag) if policy.delete_referrers else None
    return image is not None and image not in left


def _dangling(contents: RepositoryGraph, left: Collection[Digest], tagged: set[Digest]) -> list[DanglingManifest]:
    listed = {child for digest in left for child in contents.children[digest]}
    return [
        DanglingManifest(digest, each.media_type, each.size, each.subject, each.pushed_ns, None)
        for digest in left
        for each in (contents.manifests[digest],)
        if digest not in tagged and digest not in listed and each.subject not in left and not each.carried
    ]


def _not_kept(
    policy: RepositoryRetention, dangling: list[DanglingManifest], known: retention_input.Known, now_s: float
) -> Iterator[tuple[Digest, str]]:
    for decision in policy.untagged(retention_input.untagged(dangling, known), now_s):
        if not decision.keep:
            yield decision.candidate.digest, decision.reason
    if policy.delete_referrers:
        yield from ((each.digest, REFERRER) for each in dangling if each.subject)


async def _is_elsewhere(catalog: Catalog, repository: Repository, digest: Digest) -> bool:
    return any(holder != repository for holder in await catalog.repositories_with(digest, "", 2))
