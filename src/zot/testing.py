"""A registry for other people's tests: in this process, on a free port, gone with the test.

As a context manager::

    from zot.testing import serve

    with serve() as registry:
        push_an_image_to(registry.host + "/team/app:1.0")

As a pytest fixture, in `conftest.py`::

    pytest_plugins = ["zot.testing"]

    def test_push(zot_registry):
        push_an_image_to(zot_registry.host + "/team/app:1.0")
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zot.auth.cel import condition
from zot.config.load import load_tree
from zot.config.model import Config
from zot.config.supported import refuse_unbuilt
from zot.processes.listeners import listen
from zot.processes.single import run
from zot.server.features import BUILT
from zot.server.plan import ServerPlan, make_plan
from zot.server.store import claim_store

_START_S = 30.0


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    """A registry that answers."""

    host: str
    """`127.0.0.1:<port>`: what goes before the name of an image."""
    root: Path
    """Where it keeps its content; beside it `zot.log` says what it did."""
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The base of its API's addresses."""
        return f"{self.scheme}://{self.host}"


@contextmanager
def serve(root: Path | None = None, config: Mapping[str, Any] | None = None) -> Iterator[RunningRegistry]:
    """Run a registry until the end of the block, then stop it in good order.

    It keeps its content in `root`, or in a temporary directory of its own. `config` is a configuration as in a file,
    without address and port; by default everybody may do everything. Raises ConfigurationError, StorageError if
    another registry has the directory, and what else keeps it from starting.
    """
    with TemporaryDirectory(prefix="zot-") as temporary:
        directory = root or Path(temporary, "content")
        with _in_thread(_configuration(directory, config or {}), directory) as running:
            yield running


def _configuration(root: Path, config: Mapping[str, Any]) -> Config:
    tree: dict[str, Any] = {key: value for key, value in config.items() if key not in {"storage", "http", "log"}}
    tree["storage"] = {"rootDirectory": str(root), "gc": False, "minFreeBytes": 0, "minFreePercent": 0} | dict(
        config.get("storage", {})
    )
    tree["http"] = {"address": "127.0.0.1", "port": "0", "workers": 0} | dict(config.get("http", {}))
    tree["log"] = {"level": "info", "output": str(root.parent / "zot.log")} | dict(config.get("log", {}))
    loaded = load_tree(tree, condition).config
    refuse_unbuilt(loaded, BUILT)
    return loaded


@contextmanager
def _in_thread(config: Config, root: Path) -> Iterator[RunningRegistry]:
    # No load balancer has to be told that it ends.
    plan = replace(make_plan(config, None, workers=0, read_only=False), unready_s=0.0)
    with ExitStack() as held:
        plan = held.enter_context(claim_store(plan, wait_s=0.0))
        (listener,) = listen(plan.address, plan.port, 1)
        held.enter_context(listener)
        plan = replace(plan, port=listener.getsockname()[1])
        server = _Server(config, plan, listener)
        server.start()
        try:
            server.wait_until_ready()
            scheme = "https" if plan.tls else "http"
            yield RunningRegistry(f"127.0.0.1:{listener.getsockname()[1]}", root, scheme)
        finally:
            server.stop()


class _Server(threading.Thread):
    """The registry's event loop."""

    def __init__(self, config: Config, plan: ServerPlan, listener: socket.socket) -> None:
        super().__init__(name="zot")
        self._config, self._plan, self._listener = config, plan, listener
        self._settled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 (it is raised where somebody waits for it)
            self._error = error
        finally:
            self._settled.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        await run(self._config, self._plan, self._listener, self._stopping, self._settled.set)

    def wait_until_ready(self) -> None:
        if not self._settled.wait(_START_S):
            raise TimeoutError(f"the registry was not ready within {_START_S:.0f} s")
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        if self._loop is not None and self._stopping is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self.join()
        if self._error is not None:
            raise self._error


def _fixture() -> Any:
    """Return the fixture where pytest is installed: the module is of use without it, too."""
    try:
        import pytest  # noqa: PLC0415
    except ImportError:
        return None

    @pytest.fixture
    def zot_registry(tmp_path: Path) -> Iterator[RunningRegistry]:
        """Run a registry for one test."""
        with serve(tmp_path / "zot") as running:
            yield running

    return zot_registry


zot_registry = _fixture()
