"""The product itself, as operators run it: `zot serve FILE`, in several processes."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from http_client import Client
from servers.process import Process, free_port

ZOT = Path(sys.executable).with_name("zot")


class ZotServer(Process):
    """`zot serve` with two workers on a free port, its data in `folder`/data.

    `http` and `storage` add to its configuration, which `configure` replaces. It serves HTTPS with `server.pem` and
    `server.key` of `certificates` in the configuration, and `tls` to verify them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        http: Mapping[str, Any] | None = None,
        storage: Mapping[str, Any] | None = None,
        log: Mapping[str, Any] | None = None,
        tls: ssl.SSLContext | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        """Write its configuration to `folder`; nothing starts yet."""
        self.folder = folder
        self.root = folder / "data"
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.client = Client(self.host, tls)
        self.config = folder / "config.json"
        self._http, self._storage = dict(http or {}), dict(storage or {})
        self._log = {"level": "info"} | dict(log or {})
        self.configure()
        super().__init__([ZOT, "serve", *arguments, self.config], log=folder / "zot.log", ready=self._answers)

    def configure(self, **http: Any) -> None:
        """Replace the configuration atomically by one with other keys of `http`."""
        self._http |= http
        tree = {
            "storage": {"rootDirectory": str(self.root), "minFreeBytes": 0, "minFreePercent": 0} | self._storage,
            "http": {"address": "127.0.0.1", "port": str(self.port), "workers": 2} | self._http,
            "log": self._log,
        }
        staged = self.config.with_suffix(".new")
        staged.write_text(json.dumps(tree))
        staged.rename(self.config)

    def _answers(self) -> bool:
        try:
            answers = self.client.get("/startupz").status == 200
        except OSError:
            return False
        found = self.processes() if self.process else {}
        return answers and (not found or "jobs" in found)  # which starts after the processes that answer

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self.process is not None
        return self.process.pid

    def processes(self) -> dict[str, int]:
        """Return the ids of the supervisor's children, by name: `writer`, `jobs`, `worker-0`, `worker-1`."""
        found = {}
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with suppress(OSError):  # it has just ended
                found[Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("zot ")] = int(pid)
        return found
