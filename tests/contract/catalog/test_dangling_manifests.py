"""Manifests that nothing keeps: which these are, and how a sweep's stamp on them comes and goes."""

from __future__ import annotations

import msgspec

from contract.catalog.examples import APP, V1, V2, child, digest, push, put, stamp
from zot.catalog.blob_commands import MarkUnreferenced
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import (
    Deleted,
    DeleteTag,
    RemoveManifest,
    RestoreTag,
    TagMove,
    TagsDiffer,
    TouchManifest,
)
from zot.oci.digest import Digest


async def loose(catalog: Catalog) -> dict[Digest, float | None]:
    """Return the loose manifests with their stamps."""
    return {row.digest: row.marked_s for row in await catalog.dangling_manifests(APP, "", 10)}


async def refer(catalog: Catalog, name: str, subject: str) -> None:
    """Store a manifest with a subject."""
    await catalog.do(msgspec.structs.replace(put(name), subject=digest(subject)))


async def test_a_tag_keeps_a_manifest(catalog: Catalog) -> None:
    """A manifest is loose once the last of its tags is deleted or has moved away."""
    await push(catalog, "image", tags=(V1, V2))
    await catalog.do(DeleteTag(repository=APP, tag=V1))
    assert await loose(catalog) == {}
    await push(catalog, "newer", tags=(V2,))
    assert await loose(catalog) == {digest("image"): None}
    await catalog.do(RestoreTag(repository=APP, digest=digest("image"), move=TagMove(V1)))
    assert await loose(catalog) == {}


async def test_an_index_keeps_its_children(catalog: Catalog) -> None:
    """A child is kept from the index's commit on, also if it comes after it, until no index lists it."""
    await push(catalog, "amd64")
    assert await loose(catalog) == {digest("amd64"): None}
    await push(catalog, "index", child("amd64"), child("arm64"), tags=(V1,))
    await push(catalog, "arm64")
    assert await loose(catalog) == {}
    await catalog.do(RemoveManifest(repository=APP, digest=digest("index")))
    assert await loose(catalog) == {digest("amd64"): None, digest("arm64"): None}


async def test_a_subject_keeps_its_referrers(catalog: Catalog) -> None:
    """A referrer is loose while its subject is not here: before it comes, and after it is gone."""
    await refer(catalog, "signature", "image")
    assert await loose(catalog) == {digest("signature"): None}
    await push(catalog, "image", tags=(V1,))
    assert await loose(catalog) == {}
    await catalog.do(RemoveManifest(repository=APP, digest=digest("image")))
    (row,) = await catalog.dangling_manifests(APP, "", 10)
    assert (row.digest, row.subject, row.size) == (digest("signature"), digest("image"), len("signature"))


async def test_a_sweep_stamps_loose_manifests(catalog: Catalog) -> None:
    """Each loose manifest gets one stamp, behind the blobs and within the limit; a kept one gets none."""
    for name in ("a", "b"):
        await push(catalog, name)
    await push(catalog, "image", tags=(V1,))
    assert await catalog.do(MarkUnreferenced(repository=APP, now_s=1, limit=1)) == 1
    assert await stamp(catalog, 2) == 1
    assert await stamp(catalog, 3) == 0
    assert sorted(await loose(catalog)) == sorted([digest("a"), digest("b")])
    assert set((await loose(catalog)).values()) == {1, 2}


async def test_what_is_asked_for_loses_its_stamp(catalog: Catalog) -> None:
    """A touch, and storing it again, give a stamped manifest a whole delay; a touch of nothing says so."""
    await push(catalog, "image")
    await stamp(catalog)
    row = await catalog.resolve(APP, digest("image"))
    assert row is not None
    assert row.marked
    assert await catalog.do(TouchManifest(repository=APP, digest=digest("image"))) is True
    assert await loose(catalog) == {digest("image"): None}
    await stamp(catalog)
    await push(catalog, "image")
    assert await loose(catalog) == {digest("image"): None}
    assert await catalog.do(TouchManifest(repository=APP, digest=digest("gone"))) is False


async def test_what_is_kept_again_loses_its_stamp(catalog: Catalog) -> None:
    """A manifest that a tag named in between is as fresh as any once that tag is deleted."""
    await push(catalog, "image")
    await stamp(catalog)
    await push(catalog, "image", tags=(V1,))
    await catalog.do(DeleteTag(repository=APP, tag=V1))
    assert await loose(catalog) == {digest("image"): None}


async def test_collection_asks_for_a_stamp(catalog: Catalog) -> None:
    """A manifest that was not stamped, or too late, is not deleted by whoever asks for a stamp."""
    await push(catalog, "image")
    delete = RemoveManifest(repository=APP, digest=digest("image"), if_tags=(), marked_before_s=5)
    assert await catalog.do(delete) == TagsDiffer(())
    await stamp(catalog, 5.5)
    assert await catalog.do(msgspec.structs.replace(delete, id="second")) == TagsDiffer(())
    later = msgspec.structs.replace(delete, id="third", marked_before_s=5.5)
    assert isinstance(await catalog.do(later), Deleted)


async def test_loose_manifests_come_in_the_order_of_digests(catalog: Catalog) -> None:
    """Pages follow each other without a gap."""
    for name in ("a", "b", "c"):
        await push(catalog, name)
    first = await catalog.dangling_manifests(APP, "", 2)
    rest = await catalog.dangling_manifests(APP, first[1].digest, 10)
    assert [row.digest for row in [*first, *rest]] == sorted(map(digest, "abc"))
