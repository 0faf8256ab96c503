"""A registry in memory with a clock that tests set."""

from __future__ import annotations

import pytest

from maintenance.harness import Seconds, Site
from zot.catalog.memory.driver import MemoryCatalog
from zot.storage.memory import MemoryStorage


@pytest.fixture
def site() -> Site:
    """An empty registry in memory."""
    wall = Seconds()
    return Site(MemoryCatalog(wall.ns), MemoryStorage(), Seconds(), wall)
