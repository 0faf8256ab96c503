"""Bytes of a manifest that are not what they should be, in every driver."""

from __future__ import annotations

from msgspec.structs import replace

from contract.catalog.examples import APP, V1, digest, put
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import ImportLayout, LayoutManifest
from zot.catalog.manifest_commands import MendManifest, Stored


async def test_a_push_replaces_bytes_that_are_wrong(catalog: Catalog) -> None:
    """The bytes of the last push of a digest are the ones that are read, and the layout is written again."""
    right = put("image", tags=(V1,))
    await catalog.do(replace(right, id="first", content=b"wrong"))
    before = await catalog.repository(APP)
    assert await catalog.do(right) == Stored(created=False, changes=())
    assert await catalog.manifest_content(APP, digest("image")) == b"image"
    after = await catalog.repository(APP)
    assert before is not None
    assert after is not None
    assert after.revision > before.revision


async def test_a_push_of_the_same_bytes_changes_nothing(catalog: Catalog) -> None:
    """Bytes that are right stay, and no export is due for them."""
    await catalog.do(put("image", tags=(V1,)))
    before = await catalog.repository(APP)
    await catalog.do(put("image", tags=(V1,)))
    assert await catalog.repository(APP) == before


async def test_a_layout_replaces_bytes_that_are_wrong(catalog: Catalog) -> None:
    """What is imported from a layout was verified: it takes the place of what is wrong."""
    right = put("image")
    await catalog.do(replace(right, content=b"wrong"))
    manifest = LayoutManifest(right.digest, right.content, right.media_type, None, None, {}, (), 1)
    await catalog.do(ImportLayout(repository=APP, manifests=(manifest,)))
    assert await catalog.manifest_content(APP, digest("image")) == b"image"


async def test_right_bytes_take_the_place_of_wrong_ones(catalog: Catalog) -> None:
    """Only of a manifest that is here, and an export is due only if they were others."""
    mend = MendManifest(repository=APP, digest=digest("image"), content=b"image")
    assert not await catalog.do(mend)
    await catalog.do(replace(put("image"), content=b"wrong"))
    before = await catalog.repository(APP)
    assert await catalog.do(mend)
    assert await catalog.manifest_content(APP, digest("image")) == b"image"
    after = await catalog.repository(APP)
    assert before is not None
    assert after is not None
    assert after.revision == before.revision + 1
    assert await catalog.do(replace(mend, id="again"))
    assert await catalog.repository(APP) == after
