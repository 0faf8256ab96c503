"""Fixtures of the storage's tests."""

from collections.abc import Iterator

import pytest

from zot.storage.threads import ThreadPools


@pytest.fixture
def pools() -> Iterator[ThreadPools]:
    """The thread pools of one test."""
    pools = ThreadPools()
    yield pools
    pools.close()
