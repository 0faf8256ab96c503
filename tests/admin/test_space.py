"""What stores and quotas hold is the sum of what their repositories hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maintenance.harness import Site
from zot.admin.space import SORTS, UsageReport, usage_report
from zot.config.storage import StorageConfig
from zot.maintenance import usage
from zot.oci.names import Repository

NAMES = [Repository(each) for each in ("other/c", "team/a", "team/b")]


async def space(root: str) -> tuple[int, int] | None:
    return (10, 100) if root.endswith("main") else None


async def report(site: Site, pattern: str = "**", sort: str = "name", limit: int = 50, offset: int = 0) -> UsageReport:
    storage: dict[str, Any] = {
        "rootDirectory": "/main",
        "subPaths": {"/other": {"rootDirectory": "/elsewhere"}},
        "quotas": [
            {"repositories": ["team/**"], "bytes": 1000},
            {"repositories": ["**"], "bytes": 500, "each": True},
            {"repositories": ["none/**"], "bytes": 7},
        ],
    }
    config = StorageConfig.model_validate(storage)
    return await usage_report(site.catalog, config, space, pattern, sort, limit, offset)


@pytest.fixture
async def sizes(site: Site) -> dict[str, int]:
    """Three repositories, each larger than the one before."""
    for number, name in enumerate(NAMES):
        for each in range(number + 1):
            await site.image(f"v{each}", name=f"{name}{each}", repository=name)
    return {row.repository: row.bytes async for row in usage.repositories(site.catalog, None)}


async def test_stores_and_quotas_are_sums(site: Site, sizes: dict[str, int]) -> None:
    found = await report(site)
    assert [(each.route, each.root, each.repositories, each.bytes) for each in found.stores] == [
        ("/", str(Path("/main")), 2, sizes["team/a"] + sizes["team/b"]),
        ("/other", str(Path("/elsewhere")), 1, sizes["other/c"]),
    ]
    assert [(each.free_bytes, each.disk_bytes) for each in found.stores] == [(10, 100), (None, None)]
    assert [(each.used_bytes, each.repositories, each.fullest) for each in found.quotas] == [
        (sizes["team/a"] + sizes["team/b"], 2, "team/b"),
        (sizes["team/b"], 3, "team/b"),
        (0, 0, None),
    ]


async def test_a_page_is_a_part_of_the_order(site: Site, sizes: dict[str, int]) -> None:
    for sort in SORTS:
        whole = [row.repository for row in (await report(site, sort=sort)).rows]
        assert whole == (NAMES if sort == "name" else NAMES[::-1])
        pages = [(await report(site, sort=sort, limit=1, offset=each)).rows for each in range(4)]
        assert [row.repository for page in pages for row in page] == whole


async def test_what_is_kept_of_the_order_is_bounded(
    site: Site, sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows beyond the page are dropped on the way, and none of the page is."""
    monkeypatch.setattr("zot.admin.space.PAGE_LIMIT", 0)
    for sort in SORTS:
        (row,) = (await report(site, sort=sort, limit=1)).rows
        assert row.repository == (NAMES[0] if sort == "name" else NAMES[-1])


async def test_a_pattern_restricts_repositories_and_no_totals(site: Site, sizes: dict[str, int]) -> None:
    found = await report(site, "team/*", limit=1)
    assert (found.total, found.bytes) == (2, sizes["team/a"] + sizes["team/b"])
    assert found.stores == (await report(site)).stores
    with pytest.raises(ValueError, match="not closed"):
        await report(site, "[")
