"""PostgreSQL servers: one that tests share, and others that a test kills, restarts and makes read-only."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

import programs
from servers.process import STOP_LIMIT_S, Process, accepts, free_port

# It refuses to run as root.
_USER = "postgres"


def _as_user(*, dies: bool = False) -> list[str]:
    if os.geteuid() != 0:
        return []
    account = pwd.getpwnam(_USER)
    user = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
    return [*user, "--pdeathsig", "KILL", "--"] if dies else [*user, "--"]


class PostgresServer(Process):
    """A PostgreSQL server on a free port, in a folder of its own, which `close` removes.

    `options` are its settings: `{"synchronous_standby_names": "none"}`. Unless they say otherwise it syncs nothing to
    the disk: what it stores survives `kill`, and no power loss. After `stop` or `kill` it restarts with its data.
    """

    def __init__(self, *, options: dict[str, str] | None = None, template: Path | None = None) -> None:
        """Make the data folder, a copy of `template` if one is given; nothing starts yet."""
        binary = programs.require("postgres").resolve()
        self._folder = Path(tempfile.mkdtemp(prefix="zot-pg-"))
        self.data = self._folder / "data"
        self.port = free_port()
        self._give_away(self._folder)
        if template is None:
            words = ["--encoding=UTF8", "--locale=C", "--auth=trust", f"--username={_USER}", "--no-sync"]
            subprocess.run(
                [*_as_user(), binary.with_name("initdb"), "-D", self.data, *words], check=True, capture_output=True
            )
        else:
            subprocess.run(["cp", "-a", template, self.data], check=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "shared_buffers": "32MB",
            "max_connections": "60",
            "fsync": "off",
            "full_page_writes": "off",
            **(options or {}),
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        super().__init__(
            [*_as_user(dies=True), binary, "-D", self.data, *words],
            log=self._folder / "postgres.log",
            ready=lambda: accepts(self.port) and "system is ready to accept" in self._since_start(),
        )
        self._logged = 0

    def url(self, database: str = "postgres", query: str = "") -> str:
        """Return the URL of one of its databases."""
        return f"postgres://{_USER}@127.0.0.1:{self.port}/{database}{query and '?'}{query}"

    def start(self) -> None:
        """See `Process`."""
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        super().start()

    def stop(self) -> int:
        """Stop it at once, in good order, although clients are connected. Idempotent."""
        if not self.process:
            return 0
        self._signal(signal.SIGINT)
        return self.process.wait(STOP_LIMIT_S)

    def kill(self) -> None:
        """Kill it and all its processes, as a crash of the machine would. Idempotent."""
        if self.process and self.process.poll() is None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            super().kill()
            for child in children:
                try:
                    os.kill(int(child), signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def close(self) -> None:
        """Kill it, and remove its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Execute statements by psql, and return what it prints."""
        psql = programs.require("postgres").resolve().with_name("psql")
        words = [str(psql), "-XAtq", "-v", "ON_ERROR_STOP=1", self.url(database), "-c", statement]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        return str(done.stdout).strip()

    def _since_start(self) -> str:
        return self.log.read_bytes()[self._logged :].decode(errors="replace") if self.log.exists() else ""

    def _give_away(self, folder: Path) -> None:
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One running PostgreSQL for the whole run, with the superuser `postgres`.

    Tests share it: each has a database of its own. A test that stops a server starts its own.
    """
    with PostgresServer() as server:
        yield server
