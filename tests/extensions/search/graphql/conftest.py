"""The rows that the queries are asked about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from extensions.search.graphql.harness import Asker, Rows
from zot.accounts.memory import MemoryAccounts
from zot.auth.decision import NO_CONTEXT, AllowAll
from zot.auth.principal import Principal
from zot.extensions.search.graphql.objects import Caller, Sources
from zot.extensions.search.interface import Search
from zot.foundation.threads import ThreadPool


@pytest.fixture
def index() -> Rows:
    """Return rows of three repositories."""
    rows = Rows()
    rows.add("library/debian", "12")
    rows.add("team/api", "1.0", "1.1", "latest")
    rows.add("team/web", "1.0")
    return rows


@pytest.fixture
def asker(index: Rows, pool: ThreadPool) -> Asker:
    """Return what executes the queries of ada, who may read everything."""
    sources = Sources(cast("Search", index), AllowAll(), MemoryAccounts())
    return Asker(sources, Caller(Principal("ada", "htpasswd"), NO_CONTEXT, None), pool)


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Return threads for what would block the event loop."""
    threads = ThreadPool("queries", 1, 16)
    yield threads
    threads.close()
