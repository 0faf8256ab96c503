"""The use cases on a catalog and a storage in memory."""

import pytest

from zot.catalog.memory.driver import MemoryCatalog
from zot.registry.registry import Registry
from zot.storage.memory import MemoryStorage


@pytest.fixture
def storage() -> MemoryStorage:
    """Where the bytes are."""
    return MemoryStorage()


@pytest.fixture
def registry(storage: MemoryStorage) -> Registry:
    """A registry."""
    return Registry(catalog=MemoryCatalog(), storage=storage)
