"""moto's server: the AWS services that tests need, in one process."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.process import Process, accepts, free_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class MotoServer(Process):
    """A moto server at `url`, which keeps its state in memory and accepts any credentials."""

    def __init__(self, folder: Path) -> None:
        """Describe the server; nothing starts yet."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            log=folder / "moto.log",
            ready=lambda: accepts(self.port),
        )


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """One running moto for the whole run; each test uses its own names."""
    with MotoServer(tmp_path_factory.mktemp("moto")) as server:
        yield server
