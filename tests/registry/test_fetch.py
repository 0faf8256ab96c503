"""What the registry lacks comes from its sources in order: layouts that are not imported, then upstreams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from layout.images import Image, image, index, sha256
from layout.store import APP, Store
from zot.catalog.change_log import ChangeKind
from zot.catalog.command import ChangeSource
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag, parse_repository, parse_tag
from zot.registry import blobs, manifests, repositories
from zot.registry.errors import BlobUnknown, ManifestUnknown, NameUnknown, QuotaExceeded, Unavailable
from zot.registry.fetch import fetch_referrers
from zot.registry.quota import ByteQuota, Quotas
from zot.registry.registry import Registry
from zot.registry.request import ListRepositories, PullBlob, PullManifest
from zot.registry.sources import SourcedBlob, SourcedManifest
from zot.storage.threads import ThreadPools

ONE, TWO = image("one"), image("two")
LATEST = parse_tag("latest")
OTHER = parse_repository("other")
ABSENT = Digest(f"sha256:{1:064}")


class Mirrored:
    """An upstream that has some images in each repository of some names."""

    def __init__(self, *images: Image, tags: dict[str, Image] | None = None, names: Sequence[str] = ()) -> None:
        """Have the images with all their blobs, and the tags."""
        self.tags = dict(tags or {})
        self.images = {each.digest: each for each in (*images, *self.tags.values())}
        self.blobs = {sha256(blob): blob for each in self.images.values() for blob in each.blobs}
        self.repositories = sorted(map(parse_repository, names))
        self.asked: list[str] = []
        self.fails = False
        self.due = False
        self.referring: list[Digest] = []

    def _requested(self, what: str) -> None:
        self.asked.append(what)
        if self.fails:
            raise Unavailable("the upstream is down")

    async def manifest(self, repository: Repository, reference: Reference) -> SourcedManifest | None:  # noqa: ARG002
        """Return the manifest of a tag or digest."""
        self._requested(reference)
        found = self.tags.get(reference) or self.images.get(reference)
        if found is None:
            return None
        return SourcedManifest(Digest(found.digest), found.media_type, found.content)

    def is_due(self, repository: Repository, tag: Tag) -> bool:  # noqa: ARG002
        """Return what the test sets."""
        return self.due

    def checked(self, repository: Repository, tag: Tag, *, told: bool) -> None:
        """Do nothing: the test sets what is due."""

    async def resolve(self, repository: Repository, tag: Tag) -> Digest | None:
        """Return the tag's digest."""
        found = await self.manifest(repository, tag)
        return None if found is None else found.digest

    @asynccontextmanager
    async def blob(
        self,
        repository: Repository,  # noqa: ARG002
        digest: Digest,
        start: int = 0,
    ) -> AsyncIterator[SourcedBlob | None]:
        """Open a blob that is sent in two pieces."""
        self._requested(digest)
        content = self.blobs.get(digest)
        yield None if content is None else SourcedBlob(len(content), _pieces(content[start:]))

    async def referrers(self, repository: Repository, subject: Digest) -> Sequence[Digest]:  # noqa: ARG002
        """Return what the test sets."""
        return self.referring

    async def blob_size(self, repository: Repository, digest: Digest) -> int | None:  # noqa: ARG002
        """Return the size of a blob."""
        self._requested(digest)
        content = self.blobs.get(digest)
        return None if content is None else len(content)

    async def names(self, after: str, limit: int) -> Sequence[Repository]:
        """Return the names."""
        return [name for name in self.repositories if name > after][:limit]


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content[:5]
    yield content[5:]


@pytest.fixture(scope="module")
def pools() -> Iterator[ThreadPools]:
    """The threads of the stores."""
    pools = ThreadPools()
    yield pools
    pools.close()


@pytest.fixture
async def store(tmp_path: Path, pools: ThreadPools) -> AsyncIterator[Store]:
    """A store on the disk: the layouts are the first source."""
    store = Store(tmp_path / "root", pools)
    yield store
    await store.close()


def mirror(store: Store, *upstreams: Mirrored) -> Registry:
    """Return a registry on the store that mirrors these upstreams."""
    return Registry(store.catalog, store.storage, store.layouts, upstreams=upstreams)


def write(store: Store, tag: str, found: Image) -> None:
    """Write a layout as another program does."""
    store.layout().put(found)
    store.layout().write(found.descriptor(tag))


async def test_the_layout_is_asked_before_an_upstream(store: Store) -> None:
    """A tag of a layout that is not imported yet is the layout's, and no upstream is asked for it."""
    write(store, "latest", ONE)
    upstream = Mirrored(tags={"latest": TWO})
    assert (await manifests.pull(mirror(store, upstream), PullManifest(APP, LATEST))).digest == ONE.digest
    assert upstream.asked == []


async def test_what_the_layout_lacks_comes_from_the_first_upstream_that_has_it(store: Store) -> None:
    """A source that does not have the manifest is followed by the next one; those after the answer are not asked."""
    write(store, "latest", ONE)
    sources = Mirrored(), Mirrored(tags={"v2": TWO}), Mirrored(tags={"v2": ONE})
    registry = mirror(store, *sources)
    pulled = await manifests.pull(registry, PullManifest(APP, parse_tag("v2")))
    assert pulled == (TWO.digest, TWO.media_type, TWO.content, False)
    assert [source.asked for source in sources] == [["v2"], ["v2"], []]
    assert await store.tags() == {"latest": ONE.digest, "v2": TWO.digest}


async def test_a_fetched_manifest_is_stored_when_it_is_answered(store: Store) -> None:
    """The answer is in the catalog by then, with its tag, as a change of mirroring, and no source is asked again."""
    upstream = Mirrored(tags={"latest": ONE})
    registry = mirror(store, upstream)
    start = (await store.catalog.changes(None, 10)).cursor
    for _ in range(2):
        assert (await manifests.pull(registry, PullManifest(APP, LATEST))).digest == ONE.digest
    assert upstream.asked == ["latest"]
    assert await store.catalog.manifest_content(APP, Digest(ONE.digest)) == ONE.content
    changes = (await store.catalog.changes(start, 10)).changes
    (change,) = [each for each in changes if each.kind is ChangeKind.TAG_CREATED]
    assert (change.source, change.by) == (ChangeSource.SYNC, "upstream")


async def test_an_image_is_fetched_piece_by_piece(store: Store) -> None:
    """An index, then its child, then that one's blobs: each is fetched and stored when a client asks for it."""
    both = index(ONE, TWO)
    upstream = Mirrored(ONE, tags={"latest": both})
    registry = mirror(store, upstream)
    assert (await manifests.pull(registry, PullManifest(APP, LATEST))).digest == both.digest
    assert (await manifests.pull(registry, PullManifest(APP, Digest(ONE.digest)))).content == ONE.content
    for content in ONE.blobs:
        request = PullBlob(APP, Digest(sha256(content)))
        row = await blobs.pull(registry, request)
        opened, _ = await blobs.open_content(registry, request, row)
        assert await opened.read(0, row.size) == content
        opened.close()
        assert await store.catalog.blob(APP, request.digest) is not None
    upstream.fails = True
    row = await blobs.pull(registry, PullBlob(APP, Digest(sha256(ONE.blobs[0]))))
    assert row.size == len(ONE.blobs[0])
    # What the manifests name is referenced like pushed content: nothing of it is collected.
    assert await store.catalog.unreferenced_blobs(APP, "", 10) == []


async def test_a_failing_upstream_is_followed_by_the_next(store: Store) -> None:
    """While one upstream is down, another that has the content gives it."""
    down, up = Mirrored(), Mirrored(tags={"latest": ONE})
    down.fails = True
    registry = mirror(store, down, up)
    assert (await manifests.pull(registry, PullManifest(APP, LATEST))).digest == ONE.digest
    row = await blobs.pull(registry, PullBlob(APP, Digest(sha256(ONE.blobs[0]))))
    assert row.size == len(ONE.blobs[0])


async def test_what_a_failing_upstream_may_have_is_unavailable(store: Store) -> None:
    """503, not 404, if one source could not tell and none of the others has the content; 404 if all could tell."""
    down, up = Mirrored(), Mirrored(tags={"latest": ONE})
    for fails, manifest, blob in ((True, Unavailable, Unavailable), (False, NameUnknown, NameUnknown)):
        registry = mirror(store, down, up)
        down.fails = fails
        with pytest.raises(manifest):
            await manifests.pull(registry, PullManifest(OTHER, ABSENT))
        with pytest.raises(blob):
            await blobs.pull(registry, PullBlob(OTHER, ABSENT))
    await manifests.pull(registry, PullManifest(APP, LATEST))
    with pytest.raises(ManifestUnknown):
        await manifests.pull(registry, PullManifest(APP, ABSENT))
    with pytest.raises(BlobUnknown):
        await blobs.pull(registry, PullBlob(APP, ABSENT))
    assert await store.catalog.repositories("", 10) == [APP], "asking made no repository"


async def test_other_content_than_asked_for_is_not_stored(store: Store) -> None:
    """An upstream that sends a wrong manifest or blob counts as failing, and nothing of it is stored or served."""
    upstream = Mirrored()
    upstream.images[ABSENT] = ONE
    upstream.tags["broken"] = Image(b"{")
    upstream.blobs[ABSENT] = b"other bytes"
    registry = mirror(store, upstream)
    for reference in (ABSENT, parse_tag("broken")):
        with pytest.raises(Unavailable, match="invalid manifest"):
            await manifests.pull(registry, PullManifest(APP, reference))
    with pytest.raises(Unavailable, match="other content"):
        await blobs.pull(registry, PullBlob(APP, ABSENT))
    assert await store.catalog.manifests(APP, "", 10) == []
    assert await store.catalog.blobs(APP, "", 10) == []
    assert await store.catalog.uploads(0, "", 10) == []


async def test_a_tag_is_checked_only_when_it_is_due(store: Store) -> None:
    """A tag that moved upstream is followed once its check is due; a digest is never checked."""
    upstream = Mirrored(tags={"latest": ONE})
    registry = mirror(store, upstream)
    await manifests.pull(registry, PullManifest(APP, LATEST))
    upstream.tags["latest"] = TWO
    assert (await manifests.pull(registry, PullManifest(APP, LATEST))).digest == ONE.digest
    upstream.due = True
    assert (await manifests.pull(registry, PullManifest(APP, Digest(ONE.digest)))).digest == ONE.digest
    assert upstream.asked == ["latest"]
    assert (await manifests.pull(registry, PullManifest(APP, LATEST))).content == TWO.content
    assert await store.tags() == {"latest": TWO.digest}


async def test_what_no_upstream_has_is_not_asked_for_again_at_once(store: Store) -> None:
    """For a moment a miss or a failure is answered without upstreams, each of its own reference alone."""
    upstream = Mirrored()
    registry = mirror(store, upstream)
    for fails, tag, error in ((False, "gone", NameUnknown), (True, "failed", Unavailable)):
        upstream.fails = fails
        for _ in range(2):
            with pytest.raises(error):
                await manifests.pull(registry, PullManifest(APP, parse_tag(tag)))
    assert upstream.asked == ["gone", "failed"]


@pytest.mark.parametrize("gone", [False, True])
async def test_a_tag_that_cannot_be_checked_is_served_as_it_was(store: Store, *, gone: bool) -> None:
    """An upstream that is down, or that has lost the tag, takes nothing away from clients."""
    upstream = Mirrored(tags={"latest": ONE})
    registry = mirror(store, upstream)
    await manifests.pull(registry, PullManifest(APP, LATEST))
    upstream.due, upstream.fails = True, not gone
    del upstream.tags["latest"]
    assert (await manifests.pull(registry, PullManifest(APP, LATEST))).content == ONE.content
    assert upstream.asked == ["latest", "latest"]


async def test_a_tag_whose_new_image_has_no_space_is_served_as_it_was(store: Store) -> None:
    """A mirror that is full goes on to serve what it has, as stale."""
    upstream = Mirrored(tags={"latest": ONE})
    registry = mirror(store, upstream)
    await manifests.pull(registry, PullManifest(APP, LATEST))
    upstream.due, upstream.tags["latest"] = True, TWO
    full = replace(registry, quotas=Quotas([ByteQuota(("**",), 10, each=True)]))
    pulled = await manifests.pull(full, PullManifest(APP, LATEST))
    assert pulled == (ONE.digest, ONE.media_type, ONE.content, True)


async def test_referrers_that_have_no_space_are_left_out(store: Store) -> None:
    """A mirror that is full lists what it has, as while its upstream is down."""
    upstream = Mirrored(TWO)
    upstream.referring = [Digest(TWO.digest)]
    full = replace(mirror(store, upstream), quotas=Quotas([ByteQuota(("**",), 10, each=True)]))
    await fetch_referrers(full, APP, Digest(ONE.digest))
    assert upstream.asked == [TWO.digest]
    assert await store.catalog.manifests(APP, "", 10) == []


async def test_a_read_only_registry_asks_no_upstream(store: Store) -> None:
    """It could store nothing: what it lacks is unknown, and its tags stay as they are."""
    upstream = Mirrored(tags={"latest": ONE})
    registry = mirror(store, upstream)
    await manifests.pull(registry, PullManifest(APP, LATEST))
    upstream.due = True
    reading = replace(registry, read_only=True)
    assert (await manifests.pull(reading, PullManifest(APP, LATEST))).content == ONE.content
    with pytest.raises(ManifestUnknown):
        await manifests.pull(reading, PullManifest(APP, parse_tag("other")))
    with pytest.raises(BlobUnknown):
        await blobs.pull(reading, PullBlob(APP, Digest(sha256(ONE.blobs[0]))))
    assert upstream.asked == ["latest"]


async def test_fetched_content_counts_against_the_quota(store: Store) -> None:
    """A mirror that is full says so, and serves nothing that it could not store."""
    upstream = Mirrored(tags={"latest": ONE})
    full = Quotas([ByteQuota(("**",), 10, each=True)])
    with pytest.raises(QuotaExceeded):
        await manifests.pull(replace(mirror(store, upstream), quotas=full), PullManifest(APP, LATEST))
    assert await store.catalog.manifests(APP, "", 10) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_lists_have_the_names_of_all_sources(store: Store, limit: int) -> None:
    """Repositories of the catalog, of layouts and of each upstream are one list: in order, each once."""
    write(store, "latest", ONE)
    await store.importer.ensure(OTHER)
    registry = mirror(store, Mirrored(names=["a", "m", "other"]), Mirrored(names=["a", "b", "z"]))
    found: list[str] = []
    last: str | None = ""
    while last is not None:
        page = await repositories.page(registry, ListRepositories(limit=limit, last=last), lambda _: True)
        found += page.rows
        last = page.last
    assert found == ["a", "b", "m", "other", "team/app", "z"]
