"""A manifest whose bytes changed in the catalog is never served or exported; it is mended where that is possible."""

from __future__ import annotations

import pytest

from layout.images import index
from zot.catalog.manifest_commands import MendManifest, TagMove
from zot.oci.digest import Digest
from zot.oci.media_types import IMAGE_INDEX
from zot.oci.names import Repository, Tag
from zot.registry import manifests
from zot.registry.errors import ManifestUnknown
from zot.registry.registry import Registry
from zot.registry.request import PullManifest, PushManifest

APP, V1 = Repository("app"), Tag("v1")
CONTENT = index().content
DIGEST = Digest(index().digest)
ROTTEN = CONTENT.replace(b"2", b"3")


async def push_it(registry: Registry) -> None:
    """Push the manifest by its tag."""
    request = PushManifest(repository=APP, reference=V1)
    await manifests.push(registry, request, CONTENT, IMAGE_INDEX, [TagMove(V1)], "alice")


async def read(registry: Registry) -> bytes:
    """Pull it by its tag."""
    found = await manifests.pull(registry, PullManifest(repository=APP, reference=V1))
    assert isinstance(found, manifests.PulledManifest)
    return found.content


@pytest.fixture
async def rotten(registry: Registry) -> Registry:
    """A registry that has the manifest, with other bytes than were pushed."""
    await push_it(registry)
    assert await registry.catalog.do(MendManifest(repository=APP, digest=DIGEST, content=ROTTEN))
    return registry


async def test_damaged_bytes_are_not_served(rotten: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Without a right copy the manifest is unknown, so that clients push it again, and the log names it."""
    with pytest.raises(ManifestUnknown):
        await read(rotten)
    assert DIGEST in caplog.text


async def test_a_push_mends_damaged_bytes(rotten: Registry) -> None:
    """After the manifest is pushed again it is what was pushed."""
    await push_it(rotten)
    assert await read(rotten) == CONTENT


async def test_damaged_bytes_are_mended_from_the_layout(rotten: Registry) -> None:
    """A right file of the layout is served, and takes the place of the bytes in the catalog."""
    found: list[str] = []
    rotten.damage.observe(found.append)
    await rotten.storage.put(APP, DIGEST, CONTENT)
    assert await read(rotten) == CONTENT
    assert await rotten.catalog.manifest_content(APP, DIGEST) == CONTENT
    assert found == ["pull"]


@pytest.mark.parametrize("wrong", [ROTTEN, CONTENT[:-1], b""])
async def test_a_wrong_file_mends_nothing(rotten: Registry, wrong: bytes) -> None:
    """A file of the layout that is damaged as well is not served either."""
    await rotten.storage.put(APP, DIGEST, wrong)
    with pytest.raises(ManifestUnknown):
        await read(rotten)
    assert await rotten.catalog.manifest_content(APP, DIGEST) == ROTTEN
