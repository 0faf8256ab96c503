"""Debian's docker-registry (Docker's own registry): the peer of the benchmark."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import programs
from servers.process import Process, accepts, free_port

CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class DockerRegistry(Process):
    """A docker-registry that allows deletes, on a free port, with its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Write its configuration to `folder`; nothing starts yet."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / "config.yml"
        config.write_text(CONFIG.format(folder=folder, port=self.port))
        super().__init__(
            [programs.require("docker-registry"), "serve", config],
            log=folder / "docker-registry.log",
            ready=lambda: accepts(self.port),
            # It asks for a shared secret unless it has one, and would send traces to a collector.
            env={"REGISTRY_HTTP_SECRET": os.urandom(8).hex(), "OTEL_TRACES_EXPORTER": "none"},
        )


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """One running docker-registry for the whole run; each test uses its own repositories."""
    with DockerRegistry(tmp_path_factory.mktemp("docker-registry")) as server:
        yield server
