"""The index is what the catalog has, however it came to be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from extensions.search.rig import Registry, dump, image, in_sync, index, index_of, indexing
from zot.catalog.manifest_commands import DeleteTag, RemoveManifest, RemoveRepository
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, Tag

REPOSITORIES = ["team/app", "other"]
TAGS = ["1", "2", "latest"]
CONFIGS: list[Any] = [
    {"os": "linux", "architecture": "amd64", "created": "2026-01-01T00:00:00Z"},
    {"os": "linux", "architecture": "arm64", "variant": "v8", "config": {"Labels": {"team": "a"}}},
    b"not json",
]
NOTATION = "application/vnd.cncf.notary.signature"

_repositories, _tags = st.sampled_from(REPOSITORIES), st.sampled_from(TAGS)
_images = st.tuples(st.integers(0, 2), st.integers(0, 2))
"""A config, and how many layers."""
STEPS = st.one_of(
    st.tuples(st.just("push"), _repositories, st.lists(_tags, max_size=2), _images),
    st.tuples(st.just("index"), _repositories, st.lists(_tags, max_size=1), st.lists(_images, max_size=2)),
    st.tuples(st.just("nested"), _repositories, st.lists(_tags, max_size=1), st.lists(_images, max_size=2)),
    st.tuples(st.just("notation"), _repositories, st.none(), _images),
    st.tuples(st.just("cosign"), _repositories, st.none(), _images),
    st.tuples(st.just("untag"), _repositories, _tags, st.none()),
    st.tuples(st.just("delete"), _repositories, st.integers(0, 20), st.none()),
    st.tuples(st.just("drop"), _repositories, st.none(), st.none()),
    st.tuples(st.just("wait"), st.just(""), st.none(), st.none()),
)


def an_image(kind: tuple[int, int]) -> dict[str, Any]:
    """Return one of the few images that the histories are made of."""
    config, layers = kind
    return image(_raw(config), layers=["a", "bb"][:layers], annotations={"org.opencontainers.image.vendor": "V"})


def _raw(config: int) -> bytes:
    found = CONFIGS[config]
    return found if isinstance(found, bytes) else json.dumps(found).encode()


def _digest(document: Any) -> Digest:
    return digest_of(json.dumps(document).encode())


async def carry_out(registry: Registry, step: Any, path: Path) -> None:
    """Carry out a step of a history."""
    action, repository, what, kind = step
    for number in range(len(CONFIGS)):
        if repository:
            await registry.storage.put(Repository(repository), digest_of(_raw(number)), _raw(number))
    match action:
        case "push":
            await registry.put(repository, an_image(kind), *what)
        case "index":
            await registry.put(repository, index(*(_digest(an_image(each)) for each in kind)), *what)
        case "nested":
            inner = index(*(_digest(an_image(each)) for each in kind))
            await registry.put(repository, index(_digest(inner), _digest(an_image((0, 1)))), *what)
        case "notation":
            document = image(subject=_digest(an_image(kind)), artifact_type=NOTATION)
            await registry.put(repository, document)
        case "cosign":
            name = _digest(an_image(kind)).replace(":", "-") + ".sig"
            await registry.put(repository, image(b"signature"), name)
        case "untag":
            await registry.catalog.do(DeleteTag(repository=Repository(repository), tag=Tag(what)))
        case "delete":
            manifests = await registry.catalog.manifests(Repository(repository), "", 100)
            if manifests:
                chosen = manifests[what % len(manifests)].digest
                await registry.catalog.do(RemoveManifest(repository=Repository(repository), digest=chosen))
            await registry.catalog.do(RemoveRepository(repository=Repository(repository)))
        case "drop":
            for each in await registry.catalog.manifests(Repository(repository), "", 100):
                await registry.catalog.do(RemoveManifest(repository=Repository(repository), digest=each.digest))
            await registry.catalog.do(RemoveRepository(repository=Repository(repository)))
        case _:
            await in_sync(registry, path)


@example([("push", "other", ["1"], (0, 0)), ("cosign", "other", None, (0, 0))])
@example(
    [
        ("index", "other", [], []),
        ("push", "team/app", [], (0, 0)),
        ("wait", "", None, None),
        ("drop", "other", None, None),
        ("index", "team/app", [], []),
    ]
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=20))
def test_a_rebuilt_index_equals_one_that_followed(history: list[Any]) -> None:
    """After any history an index that followed it equals one that is made afterwards, and one that resumes."""

    async def run(directory: Path) -> None:
        registry = Registry()
        followed = directory / "followed.db"
        async with indexing(registry, followed):
            for step in history:
                await carry_out(registry, step, followed)
            await in_sync(registry, followed)
        found = dump(followed)
        assert dict(found["counts"])["texts of no image"] == dict(found["counts"])["images out of range"] == 0
        assert found == await index_of(registry, directory / "rebuilt.db")
        assert found == await index_of(registry, followed)

    with TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))
