"""Layouts between this product and skopeo."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import programs
from layout.images import Layout, image, index
from layout.store import APP, Store

ONE, TWO = image("one"), image("two")
BOTH = index(ONE, TWO)

pytestmark = pytest.mark.needs("skopeo")


async def skopeo(*arguments: str) -> bytes:
    """Run skopeo and return its output."""
    process = await asyncio.create_subprocess_exec(
        programs.require("skopeo"),
        "--insecure-policy",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output


@pytest.fixture
def source(tmp_path: Path) -> Layout:
    """A layout to copy from."""
    layout = Layout(tmp_path / "source")
    layout.put(BOTH)
    layout.write(ONE.descriptor("one"), TWO.descriptor("two"), BOTH.descriptor("both"))
    return layout


async def raw(image: str) -> bytes:
    """Return a manifest as skopeo reads it."""
    return await skopeo("inspect", "--raw", image)


async def copy(source: str, target: str) -> None:
    """Copy an image, or an index with all its images, as it is."""
    await skopeo("copy", "--all", "--preserve-digests", source, target)


async def test_skopeo_reads_what_is_exported(store: Store) -> None:
    """After an export skopeo finds every tag and copies it, blobs and all."""
    await store.push(BOTH, "both")
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    assert await raw(f"oci:{store.layout().path}:both") == BOTH.content
    target = store.root / "copy"
    for tag in ("one", "both"):
        await copy(f"oci:{store.layout().path}:{tag}", f"oci:{target}:{tag}")
    assert Layout(target).tags() == {"one": ONE.digest, "both": BOTH.digest}


async def test_a_layout_of_skopeo_is_imported(store: Store, source: Layout) -> None:
    """A layout that skopeo made becomes a repository."""
    store.layout().path.mkdir(parents=True)
    for tag in ("one", "two"):
        await copy(f"oci:{source.path}:{tag}", f"oci:{store.layout().path}:{tag}")
    await store.importer.ensure(APP)
    assert await store.tags() == {"one": ONE.digest, "two": TWO.digest}


async def test_edits_of_skopeo_are_merged(store: Store, source: Layout) -> None:
    """Skopeo keeps our stamp; its additions and moves are merged with the pushes of that time."""
    await store.push(ONE, "x")
    await store.exporter.export(APP)
    mark = store.layout().read_index()["annotations"]
    await store.push(TWO, "pushed")
    path = store.layout().path
    await copy(f"oci:{source.path}:both", f"oci:{path}:both")
    await copy(f"oci:{source.path}:two", f"oci:{path}:x")
    assert store.layout().read_index()["annotations"] == mark
    assert await store.exporter.export(APP)
    assert await store.tags() == {"x": TWO.digest, "pushed": TWO.digest, "both": BOTH.digest}
    assert json.loads(await raw(f"oci:{path}:x")) == json.loads(TWO.content)
    # And back again, which a program may do that says what it started from.
    await copy(f"oci:{source.path}:one", f"oci:{path}:x")
    await store.exporter.check(APP)
    assert (await store.tags())["x"] == ONE.digest
