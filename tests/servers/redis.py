"""Redis servers: one that tests share, and others that a test configures, breaks and restarts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import programs
from servers.process import Process, accepts, free_port


class RedisServer(Process):
    """A redis-server on a free port and a Unix socket, which stores nothing on disk.

    `arguments` are passed to it: `["--requirepass", "secret"]`, `["--cluster-enabled", "yes"]`. With `tls`
    (a folder with `ca.pem`, `server.pem`, `server.key`, see certificates.py) the port accepts TLS alone.
    After `stop` or `kill` it restarts empty on the same port.
    """

    def __init__(self, folder: Path, arguments: list[str] | None = None, *, tls: Path | None = None) -> None:
        """Describe the server; nothing starts yet."""
        self.port = free_port()
        self.socket = folder / "redis.sock"
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{self.port}"
        listen = ["--bind", "127.0.0.1", "--port", str(self.port)]
        if tls:
            listen = ["--bind", "127.0.0.1", "--port", "0", "--tls-port", str(self.port)]
            listen += ["--tls-cert-file", str(tls / "server.pem"), "--tls-key-file", str(tls / "server.key")]
            listen += ["--tls-ca-cert-file", str(tls / "ca.pem"), "--tls-auth-clients", "optional"]
        listen += ["--unixsocket", str(self.socket), "--dir", str(folder)]
        super().__init__(
            [programs.require("redis-server"), *listen, "--save", "", "--appendonly", "no", *(arguments or [])],
            log=folder / "redis-server.log",
            ready=lambda: accepts(self.port),
        )


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One running Redis for the whole run, without a password.

    Tests share it: each uses its own key prefix and never FLUSHALL. A test that stops a Redis starts its own.
    """
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
