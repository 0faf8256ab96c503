"""The layouts that a configuration asks for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from layout.images import Layout, image
from layout.store import eventually
from zot.catalog.memory.driver import MemoryCatalog
from zot.config.storage import StorageConfig as Configuration
from zot.layout.build import build, build_jobs
from zot.oci.names import parse_repository, parse_tag
from zot.storage.build import build as build_storage
from zot.storage.threads import ThreadPools

ONE = image("one")


async def test_layouts_of_all_roots_are_served(tmp_path: Path, pools: ThreadPools) -> None:
    """Sub-paths, two of which share a root, are looked through beside the main root, each under its own names."""
    config = Configuration.model_validate(
        {
            "rootDirectory": str(tmp_path / "main"),
            "subPaths": {
                "/a": {"rootDirectory": str(tmp_path / "sub")},
                "/b": {"rootDirectory": str(tmp_path / "sub")},
            },
        }
    )
    names = ["a/app", "app", "b/app"]
    for path in ("main/app", "sub/a/app", "sub/b/app", "main/a/hidden", "sub/other"):
        layout = Layout(tmp_path / path)
        layout.put(ONE)
        layout.write(ONE.descriptor("one"))
    catalog = MemoryCatalog()
    storage = build_storage(config, pools)
    layouts = build(config, catalog, storage, pools)
    assert await layouts.names("", 10) == names
    jobs = build_jobs(catalog, storage, layouts)
    await jobs.scanner.import_all()
    for name in names:
        assert await catalog.resolve(parse_repository(name), parse_tag("one")) is not None
    assert await jobs.drain(10)
    await layouts.close()


async def test_the_jobs_keep_layouts_in_sync(tmp_path: Path, pools: ThreadPools) -> None:
    """The jobs of the jobs process import existing layouts and end when they are cancelled."""
    config = Configuration.model_validate({"rootDirectory": str(tmp_path)})
    layout = Layout(tmp_path / "app")
    layout.put(ONE)
    layout.write(ONE.descriptor("one"))
    catalog = MemoryCatalog()
    storage = build_storage(config, pools)
    layouts = build(config, catalog, storage, pools)
    jobs = build_jobs(catalog, storage, layouts)
    running = [asyncio.create_task(each) for each in (jobs.schedule.run(), jobs.scanner.run())]

    async def imported() -> bool:
        row = await catalog.repository(parse_repository("app"))
        return row is not None and row.imported

    await eventually(imported)
    for each in running:
        each.cancel()
    await asyncio.wait(running)
    await layouts.close()
