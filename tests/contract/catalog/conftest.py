"""Each driver of the catalog, empty."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contract.catalog.examples import OWNER
from zot.catalog.interface import Catalog
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.sqlite.driver import connect, open_in_thread


class WriterHost:
    """The process of `writer_host.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("writer_host.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def serve(self, directory: Path, socket: Path) -> None:
        """Let it be the writer of a catalog."""
        self._say(f"serve {directory} {socket} {OWNER}")

    def stop(self, directory: Path) -> None:
        """Let it close that catalog."""
        self._say(f"stop {directory}")
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "stopped\n"

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@pytest.fixture(scope="session")
def writer_host() -> Iterator[WriterHost]:
    """The one process for all catalogs that are written by another process."""
    host = WriterHost()
    yield host
    host.close()


@pytest.fixture(params=["memory", "sqlite thread", "sqlite process"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalog]:
    """An empty catalog of each kind."""
    match request.param:
        case "memory":
            opened: Catalog = MemoryCatalog(owner=OWNER)
            yield opened
            await opened.close()
        case "sqlite thread":
            opened = open_in_thread(tmp_path, OWNER)
            yield opened
            await opened.close()
        case _:
            host: WriterHost = request.getfixturevalue("writer_host")
            # A socket's path is short; pytest's are not.
            with tempfile.TemporaryDirectory(prefix="zot") as short:
                socket = Path(short) / "writer"
                host.serve(tmp_path, socket)
                opened = connect(tmp_path, socket, OWNER)
                yield opened
                await opened.close()
                host.stop(tmp_path)
