"""One registry for all tests of the API that need nothing special: each has a repository of its own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from http_client import Client
from zot.testing import RunningRegistry, serve


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that everybody may use, for the whole run. At its end nothing may have gone wrong inside of it."""
    root = tmp_path_factory.mktemp("shared") / "content"
    with serve(root) as running:
        yield running
    faults = [line for line in (root.parent / "zot.log").read_text().splitlines() if '"statusCode":500' in line]
    assert faults == []


@pytest.fixture
def registry(shared: RunningRegistry) -> Client:
    """A client of the shared registry."""
    return Client(shared.host)


@pytest.fixture
def repo() -> str:
    """The name of a repository that no other test knows."""
    return f"test/{uuid4().hex[:16]}"
