"""What queries answer, compared with a naive reading of what was pushed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
import pytest_asyncio

from extensions.search.rig import LAYER_TYPE, Registry, image, in_sync, index, indexing
from zot.catalog.manifest_commands import DeleteTag
from zot.extensions.search.index import usage
from zot.extensions.search.index.repositories import rank
from zot.extensions.search.index.schema import SCHEMA
from zot.extensions.search.index.search import IndexSearch
from zot.extensions.search.index.snapshot import Snapshot
from zot.extensions.search.interface import (
    ImageFilter,
    ImageKind,
    ImageQuery,
    ImageSort,
    PageBounds,
    Platform,
    RepositoryQuery,
    RepositorySort,
    Suggestion,
    Visible,
)
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, Tag, version_key
from zot.statistics.interface import Statistic

ALL = PageBounds(1000)
NOTATION = "application/vnd.cncf.notary.signature"


@asynccontextmanager
async def searched(registry: Registry, path: Path) -> AsyncIterator[IndexSearch]:
    """Index what the registry has, and answer queries from it during the block."""
    async with indexing(registry, path):
        await in_sync(registry, path)
        yield IndexSearch(path, registry.catalog, registry.statistics)


@dataclass
class Pushed:
    """An image of the example store."""

    repository: str
    tag: str
    digest: Digest
    os: str
    arch: str
    created: int
    layers: int
    label: str
    moved_ns: int = 0


@dataclass
class Store:
    """A store of random images, and what is in it."""

    registry: Registry
    search: IndexSearch
    images: list[Pushed]

    def seen(self, visible: Visible) -> list[Pushed]:
        """Return what a principal may see."""
        return [each for each in self.images if visible is None or each.repository in visible]


VISIBLE: list[Visible] = [
    None,
    frozenset(),
    frozenset({Repository("a/app"), Repository("tools"), Repository("missing")}),
]


in_store = pytest.mark.asyncio(loop_scope="module")
"""A test of the shared store runs in its event loop."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """A store of 60 images in some repositories, which no test changes."""
    chosen, registry, pushed = random.Random(7), Registry(), {}
    for number in range(60):
        repository = chosen.choice(["a/app", "a/other", "tools", "b/app/x"])
        tag = f"{chosen.choice(['v', 'V', 'release-'])}{chosen.randrange(12)}"
        os, arch = chosen.choice([("linux", "amd64"), ("linux", "arm64"), ("windows", "amd64")])
        created, layers, label = chosen.randrange(1, 28), chosen.randrange(4), chosen.choice("xyz")
        config = {
            "os": os,
            "architecture": arch,
            "variant": "v8" if arch == "arm64" else "",
            "created": f"2026-01-{created:02}T00:00:00Z",
            "config": {"Labels": {"team": label, "number": str(number)}},
        }
        digest = await registry.push(repository, tag, config=config, layers=["base", "run", "copy", "more"][:layers])
        row = await registry.catalog.tag(Repository(repository), Tag(tag))
        assert row is not None
        pushed[repository, tag] = Pushed(repository, tag, digest, os, arch, created, layers, label, row.moved_ns)
    async with searched(registry, tmp_path_factory.mktemp("store") / "search.db") as search:
        yield Store(registry, search, list(pushed.values()))


@in_store
@pytest.mark.parametrize("visible", VISIBLE)
@pytest.mark.parametrize("sort", ImageSort)
async def test_pages_are_the_parts_of_one_order(store: Store, visible: Visible, sort: ImageSort) -> None:
    """Pages of any size put together are all visible images, each once, in order; every page has the right total."""
    keys: dict[ImageSort, Any] = {
        ImageSort.NAME: lambda each: (each.repository, each.tag.rstrip("0123456789"), int(each.tag.lstrip("Velasrv-"))),
        ImageSort.UPDATED: lambda each: (-each.created, each.repository, each.tag),
        ImageSort.PUSHED: lambda each: (-each.moved_ns, each.repository, each.tag),
        ImageSort.DOWNLOADS: lambda each: (each.repository, each.tag),
    }
    seen = store.seen(visible)
    if sort in keys:
        expected = sorted(seen, key=keys[sort])
    elif sort is ImageSort.NAME_DESCENDING:
        expected = sorted(seen, key=keys[ImageSort.NAME], reverse=True)
    else:
        sizes = {each.digest: each.size for each in (await store.search.images(None, ImageQuery(page=ALL))).rows}
        expected = sorted(seen, key=lambda each: (-sizes[each.digest], each.repository, each.tag))
    for limit in (1, 7, 1000):
        found = []
        for offset in range(0, len(seen) + limit, limit):
            page = await store.search.images(visible, ImageQuery(sort=sort, page=PageBounds(limit, offset)))
            assert page.total == len(seen)
            found += [(each.repository, each.tag) for each in page.rows]
        assert found == [(each.repository, each.tag) for each in expected]


QUERIES: list[tuple[ImageQuery, Any]] = [
    (ImageQuery(repository=Repository("a/app")), lambda each: each.repository == "a/app"),
    (ImageQuery(repository=Repository("missing")), lambda _: False),
    (ImageQuery(tag="v1"), lambda each: each.tag == "v1"),
    (ImageQuery(tag_prefix="v1"), lambda each: each.tag.startswith("v1")),
    (ImageQuery(tag_contains="EASE-1"), lambda each: "ease-1" in each.tag.lower()),
    (ImageQuery(tag_contains="1"), lambda each: "1" in each.tag),
    (ImageQuery(tag_contains='a"b'), lambda _: False),
    (ImageQuery(tag_contains="x" * 300), lambda _: False),
    (ImageQuery(tag_contains="v\0"), lambda _: False),
    (ImageQuery(label="team=x"), lambda each: each.label == "x"),
    (ImageQuery(label="team"), lambda _: True),
    (ImageQuery(label="none"), lambda _: False),
    (ImageQuery(filter=ImageFilter(os=("LINUX",))), lambda each: each.os == "linux"),
    (ImageQuery(filter=ImageFilter(arch=("arm64",))), lambda each: each.arch == "arm64"),
    (ImageQuery(filter=ImageFilter(arch=("arm64/V8",))), lambda each: each.arch == "arm64"),
    (ImageQuery(filter=ImageFilter(arch=("arm64/v7",))), lambda _: False),
    (
        ImageQuery(filter=ImageFilter(os=("linux", "windows"), arch=("amd64",))),
        lambda each: each.arch == "amd64",
    ),
    (ImageQuery(filter=ImageFilter(kinds=(ImageKind.CHART,))), lambda _: False),
    (ImageQuery(filter=ImageFilter(kinds=(ImageKind.IMAGE,), signed=False)), lambda _: True),
    (ImageQuery(filter=ImageFilter(signed=True)), lambda _: False),
    (ImageQuery(digest=digest_of(b"run")), lambda each: each.layers >= 2),
    (ImageQuery(digest=digest_of(b"run")[:20]), lambda each: each.layers >= 2),
    (ImageQuery(digest=digest_of(b"run")[9:30]), lambda each: each.layers >= 2),
    (ImageQuery(digest="sha256:"), lambda _: True),
    (ImageQuery(digest=""), lambda _: True),
    (ImageQuery(digest="sha256:xyz"), lambda _: False),
]


@in_store
@pytest.mark.parametrize("visible", VISIBLE)
@pytest.mark.parametrize("number", range(len(QUERIES)))
async def test_filters_find_what_a_naive_search_finds(store: Store, visible: Visible, number: int) -> None:
    """Each condition, alone and with the repositories that may be seen, gives the images of a plain filter."""
    query, matches = QUERIES[number]
    found = [(each.repository, each.tag) for each in store.seen(visible) if matches(each)]
    expected = sorted(found, key=lambda each: (each[0], version_key(each[1])))
    page = await store.search.images(visible, query)
    assert [(each.repository, each.tag) for each in page.rows] == expected[:50]
    assert page.total == len(expected)


async def test_an_image_comes_once_however_many_of_its_manifests_match(tmp_path: Path) -> None:
    """An index whose manifests all have a platform, a layer or the same base is one image, and counts once."""
    registry = Registry()
    configs = [{"os": "linux", "architecture": each} for each in ("amd64", "arm64")]
    base = [await registry.push("a/base", config=each, layers=["root"]) for each in configs]
    await registry.put("a/base", index(*base), "1")
    app = [await registry.push("a/app", config=each, layers=["root", "app"]) for each in configs]
    await registry.put("a/app", index(*app), "1")
    async with searched(registry, tmp_path / "search.db") as search:
        built = await search.image(None, Repository("a/app"), Tag("1"))
        root = await search.image(None, Repository("a/base"), Tag("1"))
        assert built is not None
        assert root is not None
        assert {each.digest for each in built.manifests} == {*app}
        for page, expected in (
            (await search.images(None, ImageQuery(filter=ImageFilter(os=("linux",)))), ["a/app", "a/base"]),
            (await search.images(None, ImageQuery(digest=digest_of(b"root"))), ["a/app", "a/base"]),
            (await search.base_images(None, built), ["a/base"]),
            (await search.derived_images(None, root), ["a/app"]),
        ):
            assert ([each.repository for each in page.rows], page.total) == (expected, len(expected))


@pytest.mark.parametrize("few", [0, 3, 20_000])
async def test_a_part_of_a_tag_is_looked_for_in_its_repository_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """By trigrams or by reading the tags, while tags come and go: those of other repositories make no difference."""
    monkeypatch.setattr("zot.extensions.search.index.images._FEW", few)
    rng, registry, path = random.Random(few), Registry(), tmp_path / "search.db"
    expected: dict[str, set[str]] = {"a": set(), "b": set(), "c": set()}
    async with indexing(registry, path):
        await in_sync(registry, path)
        search = IndexSearch(path, registry.catalog)
        for _ in range(60):
            repository, tag = rng.choice(sorted(expected)), f"build-{rng.randint(0, 12)}-{rng.choice('xyz')}"
            if rng.random() < 0.4:
                await registry.catalog.do(DeleteTag(repository=Repository(repository), tag=Tag(tag)))
                expected[repository].discard(tag)
            else:
                await registry.push(repository, tag, config={"os": rng.choice(["linux", "windows"])})
                expected[repository].add(tag)
            if rng.random() < 0.3:
                text = rng.choice(["uild", "d-1", "-1-X", "12-y", "build-7-z", "missing", "1"])
                assert await search.caught_up()
                for name, tags in expected.items():
                    query = ImageQuery(repository=Repository(name), tag_contains=text, page=ALL)
                    found = await search.images(None, query)
                    wanted = sorted((each for each in tags if text.lower() in each), key=version_key)
                    assert (found.total, [each.tag for each in found.rows]) == (len(wanted), wanted)
                    both = msgspec.structs.replace(query, filter=ImageFilter(os=("linux", "windows")))
                    assert (await search.images(None, both)).total == len(wanted)


@in_store
@pytest.mark.parametrize("visible", VISIBLE)
@pytest.mark.parametrize("sort", RepositorySort)
async def test_repositories_are_sorted_and_paged(store: Store, visible: Visible, sort: RepositorySort) -> None:
    """Repositories come in the order that is asked for; hidden ones neither come nor count."""
    stars = {Repository("tools"): 3, Repository("a/other"): 5}
    names = sorted({each.repository for each in store.seen(visible)})

    def newest(name: str, what: str) -> int:
        return max(int(getattr(each, what)) for each in store.images if each.repository == name)

    keys: dict[RepositorySort, Any] = {
        RepositorySort.UPDATED: lambda name: -newest(name, "created"),
        RepositorySort.PUSHED: lambda name: -newest(name, "moved_ns"),
        RepositorySort.STARS: lambda name: -stars.get(Repository(name), 0),
    }
    expected = sorted(names, key=keys.get(sort, lambda _: 0))
    if sort is RepositorySort.NAME_DESCENDING:
        expected.reverse()
    query = RepositoryQuery(sort=sort, stars=stars)
    page = await store.search.repositories(visible, query)
    assert ([each.name for each in page.rows], page.total) == (expected, len(names))
    assert [each.stars for each in page.rows] == [stars.get(Repository(name), 0) for name in expected]
    for offset, name in enumerate(expected):
        (row,) = (
            await store.search.repositories(
                visible, RepositoryQuery(sort=sort, stars=stars, page=PageBounds(1, offset))
            )
        ).rows
        assert row.name == name


@in_store
async def test_repositories_are_found_by_text_and_lists(store: Store) -> None:
    """A text is part of a name, the best fit first; lists of names include and exclude."""
    by_text = RepositoryQuery(" /APP/ ", sort=RepositorySort.RELEVANCE)
    found = await store.search.repositories(None, by_text)
    assert [(each.name, each.rank) for each in found.rows] == [("a/app", 1), ("b/app/x", 300)]
    tools = frozenset({Repository("tools")})
    assert [each.name for each in (await store.search.repositories(None, RepositoryQuery(among=tools))).rows] == [
        "tools"
    ]
    without = await store.search.repositories(None, RepositoryQuery(without=tools, sort=RepositorySort.NAME))
    assert [each.name for each in without.rows] == ["a/app", "a/other", "b/app/x"]
    assert (await store.search.repositories(None, RepositoryQuery("x\0"))).total == 0


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [("a/b", "a/b", 0), ("ap", "team/api", 1), ("tea", "team/api", 10), ("team/", "team/api", 10), ("b", "a/b/c", 300)],
)
def test_names_are_ranked_as_by_zot(text: str, name: str, expected: int) -> None:
    """The same name is best, then the last component, then the first, then anything else; early is better."""
    assert rank(text, Repository(name)) == expected


@in_store
@pytest.mark.parametrize("visible", VISIBLE)
async def test_facets_count_repositories(store: Store, visible: Visible) -> None:
    """A facet is how many visible repositories have an image with the property."""
    facets = await store.search.facets(visible, RepositoryQuery())
    seen = store.seen(visible)
    platforms = {
        Platform(os, arch, "v8" if arch == "arm64" else ""): len(
            {each.repository for each in seen if (each.os, each.arch) == (os, arch)}
        )
        for os, arch in {(each.os, each.arch) for each in seen}
    }
    assert dict(facets.platforms) == platforms
    assert facets.total == len({each.repository for each in seen})
    filtered = RepositoryQuery(filter=ImageFilter(os=("windows",), kinds=(ImageKind.IMAGE,), signed=False))
    names = {each.repository for each in seen if each.os == "windows"}
    assert {each.name for each in (await store.search.repositories(visible, filtered)).rows} == names


@in_store
@pytest.mark.parametrize("visible", VISIBLE)
async def test_base_and_derived_images(store: Store, visible: Visible) -> None:
    """A base has the first layers of an image, or all of them, in another manifest; derived is the converse."""
    for of in store.images[::7]:
        found = await store.search.image(None, Repository(of.repository), Tag(of.tag))
        assert found is not None
        others = [each for each in store.seen(visible) if each.digest != of.digest and each.layers and of.layers]
        bases = {(each.repository, each.tag) for each in others if each.layers <= of.layers}
        derived = {(each.repository, each.tag) for each in others if each.layers >= of.layers}
        page = await store.search.base_images(visible, found, page=ALL)
        assert {(each.repository, each.tag) for each in page.rows} == bases
        assert page.total == len(bases)
        page = await store.search.derived_images(visible, found, manifest=of.digest, page=ALL)
        assert {(each.repository, each.tag) for each in page.rows} == derived


@in_store
async def test_a_hidden_repository_is_a_missing_one(store: Store) -> None:
    """Queries for one repository answer the same for a hidden and for a missing one."""
    search, some = store.search, VISIBLE[2]
    for name in (Repository("a/other"), Repository("missing")):
        assert await search.repository(some, name) is None
        assert await search.image(some, name, Tag("v1")) is None
        assert await search.image(some, name, store.images[0].digest) is None
        assert (await search.images(some, ImageQuery(repository=name))).total == 0
        assert (await search.untagged(some, name, ALL)).total == 0
        assert await search.referrers(some, name, [store.images[0].digest]) == {}
        assert await search.repository_usage(some, name) is None
        assert await search.image_usage(some, name, [Tag("v1")]) == {}
        assert await search.freed_bytes(some, name, [Tag("v1")]) == 0
        assert await search.suggestions(some, f"{name}:v") == ()


@in_store
async def test_suggestions(store: Store) -> None:
    """A text suggests repositories, `repo:tag` and `:tag` images, and a digest the images that have it."""
    assert (await store.search.suggestions(None, "tool"))[0] == Suggestion(Repository("tools"))
    tags = {each.tag for each in store.images if each.repository == "tools" and each.tag.startswith("v1")}
    assert {each.tag for each in await store.search.suggestions(None, "tools:v1", 50)} == tags
    digest = store.images[0].digest
    assert {each.digest for each in await store.search.suggestions(None, digest[:30])} == {digest}
    assert {each.tag for each in await store.search.suggestions(None, ":v1", 3)} <= {each.tag for each in store.images}
    assert await store.search.suggestions(None, "  ") == ()


async def test_an_index_has_the_parts_that_are_here(tmp_path: Path) -> None:
    """An index shows its manifests that the repository has, in its order, and is found by what they are."""
    registry = Registry()
    arm = await registry.push("a", config={"os": "linux", "architecture": "arm64", "created": "2026-01-02T00:00:00Z"})
    amd = await registry.push(
        "a", config={"os": "linux", "architecture": "amd64", "created": "2026-01-01T00:00:00.5Z"}, layers=["x"]
    )
    missing = digest_of(b"missing")
    top = await registry.put("a", index(amd, missing, arm, annotations={"org.opencontainers.image.title": "T"}), "1")
    async with searched(registry, tmp_path / "search.db") as search:
        found = await search.image(None, Repository("a"), Tag("1"))
        assert found is not None
        assert [each.digest for each in found.manifests] == [amd, arm]
        assert found.digest == top
        assert found.size == sum(each.size for each in found.manifests)
        assert found.updated_ns == found.manifests[1].created_ns == 1767312000 * 10**9
        assert found.manifests[0].created_ns == 1767225600_500_000_000
        assert found.description.title == "T"
        for query in (
            ImageQuery(filter=ImageFilter(arch=("arm64",))),
            ImageQuery(digest=digest_of(b"x")),
            ImageQuery(digest=arm),
            ImageQuery(digest=top),
        ):
            assert [each.tag for each in (await search.images(None, query)).rows] == ["1"]
        assert (await search.images(None, ImageQuery(digest=missing))).total == 0
        assert (await search.untagged(None, Repository("a"), ALL)).total == 0


async def test_signatures_and_referrers(tmp_path: Path) -> None:
    """Signatures are found by tag and as referrers; tags of them are no images, and no tag is missed."""
    registry = Registry()
    signed = await registry.push("a", "1", config={"os": "linux"})
    await registry.push("a", "2", config={"os": "windows"})
    notation = await registry.put("a", image(subject=signed, artifact_type=NOTATION))
    cosign = await registry.push("a", signed.replace(":", "-") + ".sig", config={"signature": 1})
    sbom = await registry.put("a", image(subject=signed, artifact_type="application/spdx+json", annotations={"k": "v"}))
    await registry.put("a", index(sbom), signed.replace(":", "-"))
    async with searched(registry, tmp_path / "search.db") as search:
        page = await search.images(None, ImageQuery(filter=ImageFilter(signed=True)))
        (found,) = page.rows
        assert {(each.tool, each.digest) for each in found.signatures} == {("cosign", cosign), ("notation", notation)}
        assert found.signatures == found.manifests[0].signatures
        assert [each.tag for each in (await search.images(None, ImageQuery())).rows] == ["1", "2"]
        summary = await search.repository(None, Repository("a"))
        assert summary is not None
        assert summary.tags == 2
        referrers = await search.referrers(None, Repository("a"), [signed, sbom])
        assert {each.digest for each in referrers[signed]} == {notation, sbom}
        assert set(referrers) == {signed}
        (only,) = (await search.referrers(None, Repository("a"), [signed], ["application/spdx+json"]))[signed]
        assert only.annotations == {"k": "v"}


async def test_counts_of_pulls(tmp_path: Path) -> None:
    """Rows have the counts of the moment; downloads sort by those that were copied."""
    registry = Registry()
    one = await registry.push("a", "1", config={"n": 1})
    two = await registry.push("a", "2", config={"n": 2})
    await registry.push("b", "1", config={"n": 3})
    name = Repository("a")
    await registry.statistics.add(
        {(name, one): Statistic(one, pulls=1, pulled_s=5.0), (name, two): Statistic(two, pulls=4, pulled_s=6.0)}
    )
    query = ImageQuery(sort=ImageSort.DOWNLOADS)
    async with searched(registry, tmp_path / "search.db") as search:
        while [each.tag for each in (await search.images(None, query)).rows] != ["2", "1", "1"]:
            pass
        rows = (await search.images(None, query)).rows
        assert [(each.pulls, each.pulled_s, each.manifests[0].pulls) for each in rows[:2]] == [(4, 6.0, 4), (1, 5.0, 1)]
        by_downloads = RepositoryQuery(sort=RepositorySort.DOWNLOADS)
        repositories = (await search.repositories(None, by_downloads)).rows
        assert [(each.name, each.downloads) for each in repositories] == [("a", 5), ("b", 0)]


async def test_usage(tmp_path: Path) -> None:
    """Bytes count once a digest; what another repository, or another tag, references is shared and is not freed."""
    registry = Registry()
    a = Repository("a")
    await registry.push("a", "1", config={"n": 1}, layers=["shared", "only-one"])
    await registry.push("a", "2", config={"n": 2}, layers=["shared", "only-two!"])
    await registry.push("b", "1", config={"n": 3}, layers=["only-two!"])
    loose = await registry.push("a", "3", config={"n": 4}, layers=["loose"])
    await registry.catalog.do(DeleteTag(repository=a, tag=Tag("3")))
    async with searched(registry, tmp_path / "search.db") as search:
        one, two = [await search.image(None, a, Tag(tag)) for tag in "12"]
        untagged = await search.untagged(None, a, ALL)
        assert one is not None
        assert two is not None
        assert [each.digest for each in untagged.rows] == [loose]
        usage = await search.repository_usage(None, a)
        assert usage is not None
        assert usage.bytes == one.size + two.size - 600 + untagged.rows[0].size
        assert usage.shared_bytes == 900
        assert (usage.untagged, usage.untagged_bytes) == (1, untagged.rows[0].size)
        alone = await search.repository_usage(frozenset({a}), a)
        assert alone is not None
        assert alone.shared_bytes == 0
        of_tags = await search.image_usage(None, a, [Tag("1"), Tag("2"), Tag("none")])
        assert {tag: (each.bytes, each.unique_bytes) for tag, each in of_tags.items()} == {
            "1": (one.size, one.size - 600),
            "2": (two.size, two.size - 600),
        }
        assert await search.freed_bytes(None, a, [Tag("1"), Tag("2")]) == one.size + two.size - 600


async def test_growth_counts_a_digest_on_its_first_day(tmp_path: Path) -> None:
    registry = Registry()
    a = Repository("a")
    await registry.push("a", "1", config={"n": 1}, layers=["shared", "only-one"])
    await registry.push("a", "2", config={"n": 2}, layers=["shared", "only-two!"])
    await registry.push("b", "1", config={"n": 3}, layers=["elsewhere"])
    async with searched(registry, tmp_path / "search.db") as search:
        growth, usage = await search.growth(None, a), await search.repository_usage(None, a)
        assert usage is not None
        assert sum(each.bytes for each in growth) == usage.bytes
        assert [each.day for each in growth] == sorted({each.day for each in growth})
        assert await search.growth(frozenset(), a) == ()


async def test_deleted_manifests_free_what_only_they_need(tmp_path: Path) -> None:
    """Also one that is still needed, or tagged: the delete takes its tags with it."""
    registry = Registry()
    a = Repository("a")
    tagged = await registry.push("a", "1", "2", config={"n": 1}, layers=["shared", "only-one"])
    loose = await registry.push("a", "3", config={"n": 4}, layers=["shared", "loose"])
    await registry.catalog.do(DeleteTag(repository=a, tag=Tag("3")))
    async with searched(registry, tmp_path / "search.db") as search:
        whole, untagged = await search.repository_usage(None, a), await search.untagged(None, a, ALL)
        assert whole is not None
        size = untagged.rows[0].size
        freed = [await search.freed_bytes(None, a, [], each) for each in ([loose], [tagged], [loose, tagged])]
        assert 0 < freed[0] < size
        assert freed[1] == whole.bytes - size
        assert freed[2] == whole.bytes


async def test_sizes_that_no_integer_can_sum_are_no_error(tmp_path: Path) -> None:
    """Descriptors of layers that are elsewhere claim any size."""
    registry = Registry()
    document = image()
    document["layers"] = [
        {"mediaType": LAYER_TYPE, "digest": digest_of(bytes((number,))), "size": 2**62} for number in range(4)
    ]
    await registry.put("a", document, "1")
    async with searched(registry, tmp_path / "search.db") as search:
        usage = await search.repository_usage(None, Repository("a"))
        assert usage is not None
        assert usage.bytes == usage.unique_bytes == 2**63 - 1
        assert usage.untagged_bytes == 0


async def test_the_cost_of_usage_grows_with_what_an_image_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a chain of referrers each keeps the next one: they are looked at once, not once for each other."""
    registry, count, length = Registry(), 0, 60
    subject = await registry.push("a", "1", "2", config={"n": 1}, layers=["base"])
    for number in range(length):
        subject = await registry.put("a", image(f"{number}".encode(), subject=subject, artifact_type="application/x"))
    read = Snapshot.rows

    def counted(snapshot: Snapshot, statement: str, *values: Any) -> list[Any]:
        nonlocal count
        count += 1
        return read(snapshot, statement, *values)

    async with searched(registry, tmp_path / "search.db") as search:
        monkeypatch.setattr(Snapshot, "rows", counted)
        assert await search.freed_bytes(None, Repository("a"), [Tag("1")]) == 0
        assert count < 10 * length
        whole = await search.repository_usage(None, Repository("a"))
        assert whole is not None
        assert await search.freed_bytes(None, Repository("a"), [Tag("1"), Tag("2")]) == whole.bytes


@pytest.mark.parametrize("statement", [usage._NEXT, usage._KEEPERS])
def test_what_a_manifest_needs_is_found_without_a_look_at_all_others(statement: str) -> None:
    """The statements are carried out for each manifest: one that reads a whole repository takes quadratic time."""
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute(SCHEMA)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1, 2))]
    assert plan
    assert [step for step in plan if step.startswith("SCAN") or step.endswith("(repository=?)")] == []
