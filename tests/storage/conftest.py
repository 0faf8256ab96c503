"""What the storage's tests share."""

from collections.abc import Iterator

import pytest

from zot.storage.threads import ThreadPools


@pytest.fixture
def pools() -> Iterator[ThreadPools]:
    """The pools of one test, closed after it."""
    pools = ThreadPools()
    yield pools
    pools.close()
