"""A registry to be measured: how it is to run, and where it is once it runs."""

import base64
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from servers.process import Process, free_port

USER, PASSWORD = "bench", "correct horse battery staple"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass(frozen=True)
class Setup:
    """How a registry is to run for a measurement."""

    access_log: bool = False
    policy: bool = False
    """Access control and metrics are on: zot only."""
    htpasswd: Path | None = None
    """Only USER with PASSWORD may enter, by this file."""
    certificate: tuple[Path, Path] | None = None
    """Certificate and key: serve TLS."""
    commit: bool = True
    """Answer a push once it is durable: only zot can do without."""
    search: bool = False
    """Search and pages are on: only zot has them."""
    catalog: str | None = None
    """URL of the database that has the catalog, None for a file: zot only."""
    workers: int | None = None
    """Processes that answer requests, 0 for a single process, None for the default: zot only."""


@dataclass(frozen=True)
class Registry:
    """A running registry."""

    name: str
    url: str
    headers: Mapping[str, str]
    """What every request to it has to carry."""
    process: Process | None = None
    """What serves it, if that was started here."""

    @property
    def tls(self) -> bool:
        """Tell whether it serves TLS."""
        return self.url.startswith("https:")

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port it listens on."""
        parts = urllib.parse.urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or (443 if self.tls else 80)

    @property
    def pid(self) -> int:
        """The process that was started here; its children belong to it."""
        assert self.process is not None
        assert self.process.process is not None
        return self.process.process.pid


class Side(Protocol):
    """A program that serves registries; `name` heads the column of its values."""

    name: str

    def can(self, setup: Setup) -> bool:
        """Tell whether it can run like this."""

    def process(self, folder: Path, port: int, setup: Setup) -> Process | None:
        """Return what serves the data in `folder` on `port`, not yet started; None if it runs already."""

    def url(self, port: int, setup: Setup) -> str:
        """Return where it then is."""


@contextmanager
def serving(side: Side, folder: Path, setup: Setup) -> Iterator[Registry]:
    """Serve the data in `folder`, which is made if it is missing; the server is killed when the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    headers = {"Authorization": BASIC} if setup.htpasswd else {}
    process = side.process(folder, port, setup)
    registry = Registry(side.name, side.url(port, setup), headers, process)
    if process is None:
        yield registry
        return
    process.start()
    try:
        yield registry
    finally:
        # What was pushed is durable; draining and bringing layouts level would only take time.
        process.kill()


def loopback(port: int, setup: Setup) -> str:
    """Return the URL of a registry that was started here."""
    return f"{'https' if setup.certificate else 'http'}://127.0.0.1:{port}"
