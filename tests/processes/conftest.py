"""A server of several processes, one a module."""

from collections.abc import Iterator

import pytest

from servers.zot import ZotServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZotServer]:
    """A running server with two workers. A test that kills something leaves it whole."""
    with ZotServer(tmp_path_factory.mktemp("server")) as running:
        yield running
