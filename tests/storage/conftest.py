"""What the storage's tests share."""

from collections.abc import Iterator

import pytest

from zot.storage.pools import Pools


@pytest.fixture
def pools() -> Iterator[Pools]:
    """The pools of one test, closed after it."""
    pools = Pools()
    yield pools
    pools.close()
