"""A NATS server, which event sinks publish to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import programs
from servers.process import Process, accepts, free_port


class NatsServer(Process):
    """A nats-server with JetStream on a free port, with its data in `folder`.

    `arguments` are passed to it: `["--user", "u", "--pass", "p"]`, `["--tls", ...]`.
    """

    def __init__(self, folder: Path, arguments: list[str] | None = None) -> None:
        """Describe the server; nothing starts yet."""
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        address = ["--addr", "127.0.0.1", "--port", str(self.port)]
        super().__init__(
            [programs.require("nats-server"), *address, "--jetstream", "--store_dir", folder, *(arguments or [])],
            log=folder / "nats-server.log",
            ready=lambda: accepts(self.port),
        )


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One running NATS server for the whole run; each test uses its own subjects."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server
