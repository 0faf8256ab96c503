"""Lists of repositories: the catalog's, and those of layouts that it does not know yet, as one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.catalog.command import new_id
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.upload_commands import CreateUploadRow
from zot.oci.names import Repository, parse_repository
from zot.registry import repositories
from zot.registry.registry import Registry
from zot.registry.request import ListRepositories
from zot.registry.unimported import NothingUnimported
from zot.storage.memory import MemoryStorage

NAMES = st.sets(st.text("abc", min_size=1, max_size=3).map(parse_repository), max_size=12)


class Foreign(NothingUnimported):
    """Layouts that others wrote."""

    def __init__(self, names: set[Repository]) -> None:
        """Know their names."""
        self._names = sorted(names)

    async def names(self, after: str, limit: int) -> Sequence[Repository]:
        """Return the names greater than `after`."""
        return [name for name in self._names if name > after][:limit]


async def filled(known: set[Repository], foreign: set[Repository]) -> Registry:
    """A registry with these repositories."""
    registry = Registry(catalog=MemoryCatalog(), storage=MemoryStorage(), layouts=Foreign(foreign))
    for name in known:
        begin = CreateUploadRow(repository=name, session=new_id(), principal="", algorithm="sha256", limit=10)
        await registry.catalog.do(begin)
    return registry


@given(NAMES, NAMES, NAMES, st.integers(1, 5), st.sampled_from([2, 3, 1000]))
async def test_pages_are_all_that_may_be_read(
    known: set[Repository], foreign: set[Repository], hidden: set[Repository], limit: int, page_limit: int
) -> None:
    """Whatever is where, all pages together are the readable names in order, each once, none longer than asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repositories, "PAGE_LIMIT", page_limit)
        registry = await filled(known, foreign)
        found: list[Repository] = []
        last: str | None = ""
        while last is not None:
            request = ListRepositories(limit=limit, last=last)
            page = await repositories.page(registry, request, lambda name: name not in hidden)
            assert len(page.rows) <= limit
            found += page.rows
            last = page.last
    assert found == sorted((known | foreign) - hidden)


@given(NAMES, NAMES, NAMES, st.sampled_from([1, 2, 3, 250]), st.sampled_from(["", "a", "b", "bb"]))
async def test_a_whole_list_is_all_that_may_be_read(
    known: set[Repository], foreign: set[Repository], hidden: set[Repository], step: int, last: str
) -> None:
    """However long its steps are, a list without a page is every readable name after `last`, in order, each once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repositories, "STEP", step)
        registry = await filled(known, foreign)
        request = ListRepositories(limit=None, last=last)
        steps = [each async for each in repositories.iter_all(registry, request, lambda name: name not in hidden)]
    assert [name for each in steps for name in each] == sorted(
        name for name in (known | foreign) - hidden if name > last
    )
    assert all(len(each) <= 2 * step for each in steps)


async def test_other_requests_have_their_turn_between_two_steps() -> None:
    """A long list gives way after each step, to whatever the event loop has to do, and so does a scan for a page."""
    registry = await filled({parse_repository(f"r{number:04}") for number in range(2000)}, set())
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    steps = [each async for each in repositories.iter_all(registry, ListRepositories(limit=None), lambda _: True)]
    assert turns >= len(steps) - 1 > 1
    turns = 0
    await repositories.page(registry, ListRepositories(limit=1), lambda name: name == "none")
    assert turns >= 2000 // repositories._ROWS_AT_LEAST - 1
    task.cancel()


async def test_a_page_is_short_rather_than_late() -> None:
    """Who may read few of many gets what was found so far, and a place to go on from."""
    known = {parse_repository(f"r{number:02}") for number in range(20)}
    registry = await filled(known, set())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repositories, "PAGE_LIMIT", 4)
        patch.setattr(repositories, "_SCAN_LIMIT", 8)
        page = await repositories.page(registry, ListRepositories(limit=5), lambda name: name == "r01")
        assert (page.rows, page.last) == (["r01"], "r07")
        rest = await repositories.page(registry, ListRepositories(limit=5, last="r07"), lambda name: name == "r19")
    assert rest.last == "r15"


async def test_no_page_is_longer_than_the_registry_allows() -> None:
    """The bound of the configuration holds whatever is asked for."""
    registry = await filled({parse_repository(f"r{number}") for number in range(5)}, set())
    registry = replace(registry, limits=replace(registry.limits, page=2))
    for limit in (None, 10**17):
        page = await repositories.page(registry, ListRepositories(limit=limit), lambda _: True)
        assert (page.rows, page.last) == (["r0", "r1"], "r1")
