"""A dry run names exactly what collection deletes later."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance.harness import APP, OTHER, Seconds, Site
from zot.admin.preview import CollectionPreview, Delays, DeleteKind, preview
from zot.catalog.manifest_commands import DeleteTag, RemoveManifest
from zot.catalog.memory.driver import MemoryCatalog
from zot.config.storage import StorageConfig
from zot.maintenance import repository_graph, usage
from zot.maintenance.stores import MaintainedStores
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Tag
from zot.statistics.interface import Statistic, all_of
from zot.storage.memory import MemoryStorage

policies = st.fixed_dictionaries(
    {"repositories": st.just(["**"])},
    optional={
        "deleteReferrers": st.booleans(),
        "deleteUntagged": st.booleans(),
        "keepTags": st.lists(
            st.fixed_dictionaries(
                {"patterns": st.lists(st.sampled_from(["^a", "b", "1"]), max_size=1)},
                optional={"mostRecentlyPushedCount": st.integers(0, 2)},
            ),
            max_size=2,
        ),
        "keepUntagged": st.fixed_dictionaries({"mostRecentlyPushedCount": st.integers(0, 2)}),
    },
)
names = st.sampled_from(["one", "two", "three", "four"])
tags = st.lists(st.sampled_from(["a1", "a2", "b1", "c"]), max_size=2).map(tuple)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("image"), names, tags),
        st.tuples(st.just("referrer"), names, names, tags),
        st.tuples(st.just("attached"), names),
        st.tuples(st.just("index"), st.lists(names, max_size=2, unique=True), tags),
        st.tuples(st.just("blob"), names),
        st.tuples(st.just("delete"), names),
        st.tuples(st.just("untag"), st.sampled_from(["a1", "b1"])),
        st.tuples(st.just("count"), names),
    ),
    max_size=8,
)


def new_site() -> Site:
    """Return an empty registry in memory."""
    wall = Seconds()
    return Site(MemoryCatalog(wall.ns), MemoryStorage(), Seconds(), wall)


async def do(site: Site, step: tuple[Any, ...], known: dict[str, Digest]) -> None:
    """Push, delete or count something."""
    site.wall.now_s += 1
    match step:
        case ("image", name, tags):
            known[name] = await site.image(*tags, name=name)
        case ("referrer", name, subject, tags):
            known[name] = await site.image(*tags, name=f"{name} of", subject=known.get(subject, digest_of(b"gone")))
        case ("attached", name):
            image = known.get(name, digest_of(b"gone"))
            await site.image(f"{image.replace(':', '-')}.sig", name=f"signature of {name}")
        case ("index", children, tags):
            await site.index(*[known.get(name, digest_of(b"gone")) for name in children], tags=tags)
        case ("blob", name):
            await site.blob(f"blob {name}".encode())
        case ("delete", name) if name in known:
            await site.catalog.do(RemoveManifest(repository=APP, digest=known[name]))
        case ("untag", tag):
            await site.catalog.do(DeleteTag(repository=APP, tag=Tag(tag)))
        case ("count", name) if name in known:
            await site.statistics.add({(APP, known[name]): Statistic(known[name], pushed_s=site.wall.now_s)})


async def ask(site: Site, config: StorageConfig) -> CollectionPreview:
    """Return the names of the previewed deletes."""
    store = MaintainedStores(config).all[0]
    found = await repository_graph.read(site.catalog, APP)
    known = await all_of(site.statistics, APP)
    policy = store.retention.of(APP)
    return await preview(site.catalog, APP, found, policy, known, Delays(1, 2), site.wall.now_s)


async def held(site: Site) -> set[tuple[str, str]]:
    """Return the existing tags, manifests and blobs."""
    tags = [(DeleteKind.TAG, row.name) for row in await site.catalog.tags(APP, "", 100)]
    manifests = [(DeleteKind.MANIFEST, row.digest) for row in await site.catalog.manifests(APP, "", 100)]
    blobs = [(DeleteKind.BLOB, digest) for digest, _ in await site.catalog.blobs(APP, "", 100)]
    return {*tags, *manifests, *blobs}


@settings(max_examples=60, deadline=None)
@given(steps, policies)
def test_previewed_deletes_are_carried_out(given: list[tuple[Any, ...]], policy: dict[str, Any]) -> None:
    """After sweeps until nothing is left to delete, all that the dry run named is gone, and the rest is there."""

    async def run() -> None:
        site = new_site()
        site.configure(retention={"policies": [policy]})
        known: dict[str, Digest] = {}
        for step in given:
            await do(site, step, known)
        before = await held(site)
        said = await ask(site, site.config)
        going = {(each.kind, each.name) for each in said.going}
        assert len(going) == len(said.going), "something is said to go twice"
        assert [each.tag for each in said.tags] == sorted(each.tag for each in said.tags)
        site.wall.now_s += 7200  # old enough for the tags of cosign; no rule here asks for times
        await site.sweep_until_done()
        assert await held(site) == before - going

    asyncio.run(run())


async def test_shared_bytes_are_not_freed(site: Site) -> None:
    """Bytes that another repository shares are counted separately; content that is manifest and blob counts once."""
    await site.image("v1", repository=OTHER)
    await site.image()
    await site.blob(b"own")
    said = await ask(site, site.config)
    sizes = {each.name: each.size for each in said.going}
    manifest = next(each for each in said.going if each.kind is DeleteKind.MANIFEST)
    assert said.bytes_free == len(b"own") + manifest.size
    assert said.bytes_shared == len(b"config of image") + len(b"layer of image")
    assert sizes[digest_of(b"own")] == 3


async def test_usage_separates_unique_from_shared_bytes(site: Site) -> None:
    """A tag alone on its image owns it; two tags of one image share it; an index needs its children."""
    first = await site.image("first", name="first")
    await site.image("second", "same", name="second")
    index = await site.index(first, tags=("multi",))
    rows = {row.tag: row for row in await usage.tags(site.catalog, APP)}
    own = (await site.catalog.manifest(APP, index)) or None
    assert own is not None
    assert rows["multi"].unique == own.size
    assert rows["multi"].bytes == rows["first"].bytes + own.size
    assert rows["first"].unique == rows["second"].unique == rows["same"].unique == 0
    await site.catalog.do(DeleteTag(repository=APP, tag=Tag("same")))
    (row,) = [each for each in await usage.tags(site.catalog, APP) if each.tag == "second"]
    assert row.unique == row.bytes
