"""How blobs are deleted, for every caller: doom, file, row, and the file of a manifest of the same bytes."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

from zot.catalog.blob_commands import ClaimBlob, Disposal, DoomBlob, DoomOutcome, PublishBlob
from zot.catalog.manifest_commands import PutManifest
from zot.oci.digest import digest_of
from zot.oci.media_types import IMAGE_INDEX
from zot.oci.names import parse_repository
from zot.registry.blob_deletion import delete_blob, finish_delete
from zot.registry.registry import Registry
from zot.storage.memory import MemoryStorage

APP = parse_repository("app")
CONTENT = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
DIGEST = digest_of(CONTENT)
SOURCE = Path(__file__).resolve().parents[2] / "src" / "zot"


async def present(registry: Registry) -> None:
    """Have the blob there."""
    await registry.storage.put(APP, DIGEST, CONTENT)
    await registry.catalog.do(ClaimBlob(repository=APP, digest=DIGEST, token="push", owner=registry.catalog.owner))
    await registry.catalog.do(PublishBlob(repository=APP, digest=DIGEST, token="push", size=len(CONTENT)))


@pytest.mark.parametrize("disposal", Disposal)
async def test_a_deleted_blob_is_absent_and_can_be_pushed(registry: Registry, disposal: Disposal) -> None:
    """Its row is gone, and its file is unlinked, in quarantine, or left to the program that it belongs to."""
    await present(registry)
    doom = DoomBlob(repository=APP, digest=DIGEST, token="delete", owner=registry.catalog.owner, disposal=disposal)
    assert await delete_blob(registry.catalog, registry.storage, doom) is DoomOutcome.DOOMED
    assert await registry.catalog.blob(APP, DIGEST) is None
    is_left = disposal is Disposal.NO_FILE
    assert await registry.storage.stat(APP, DIGEST) == (len(CONTENT) if is_left else None)
    assert await registry.storage.is_quarantined(APP, DIGEST) == (disposal is Disposal.QUARANTINE)
    await present(registry)


@pytest.mark.parametrize("disposal", [Disposal.UNLINK, Disposal.QUARANTINE])
async def test_a_manifest_of_the_same_bytes_keeps_its_file(
    registry: Registry, storage: MemoryStorage, disposal: Disposal
) -> None:
    """A manifest pushed while the blob is being deleted has its file afterwards; finishing is idempotent."""
    await present(registry)
    doom = DoomBlob(repository=APP, digest=DIGEST, token="delete", owner=registry.catalog.owner)
    assert await registry.catalog.do(doom) is DoomOutcome.DOOMED
    await registry.catalog.do(
        PutManifest(repository=APP, digest=DIGEST, content=CONTENT, media_type=IMAGE_INDEX, edges=())
    )
    for _ in range(2):
        await finish_delete(registry.catalog, storage, APP, DIGEST, "delete", disposal, begun_s=time.monotonic())
        assert await storage.stat(APP, DIGEST) == len(CONTENT)
    assert await registry.catalog.resolve(APP, DIGEST) is not None


async def test_a_refused_deletion_touches_nothing(registry: Registry) -> None:
    """A blob that the conditions do not hold for keeps its file and its row."""
    await present(registry)
    doom = DoomBlob(repository=APP, digest=DIGEST, token="delete", marked_before_s=1.0, owner=registry.catalog.owner)
    assert await delete_blob(registry.catalog, registry.storage, doom) is DoomOutcome.CLAIMED
    assert await registry.storage.stat(APP, DIGEST) == len(CONTENT)
    assert await registry.catalog.blob(APP, DIGEST) is not None


def test_no_other_module_forgets_a_blob() -> None:
    """Whatever deletes a blob does it by `delete_blob`, so that no caller lacks a step."""
    callers = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ForgetBlob"
    }
    assert callers == {"registry/blob_deletion.py"}
