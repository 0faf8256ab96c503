"""A registry for the tests of its clients: in this process, on a free port, gone with the test.

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

from zot.auth.cel import compile_condition
from zot.config.load import load_tree
from zot.config.model import Config
from zot.config.supported import refuse_unbuilt
from zot.processes.listeners import listen
from zot.processes.single import run
from zot.server.extensions import BUILT
from zot.server.plan import ServerPlan, make_plan
from zot.server.store import claim_store

_START_S = 30.0


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    """A registry that answers."""

    host: str
    """`127.0.0.1:<port>`: what goes before the name of an image."""
    root: Path
    """The directory of its content, which in memory is not made; beside it is its log, `zot.log`."""
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The base of its API's addresses."""
        return f"{self.scheme}://{self.host}"


@contextmanager
def serve(
    root: Path | None = None, config: Mapping[str, Any] | None = None, *, memory: bool = False
) -> Iterator[RunningRegistry]:
    """Run a registry until the end of the block, then drain and stop it.

    Content is kept in `root`, or in a temporary directory. With `memory` it is kept in this process instead, with the
    catalog and the accounts: that starts in milliseconds, writes no image layouts, and runs no garbage collection.
    `config` is a configuration as in a file, without address and port; by default any client may do anything. Raises
    ConfigurationError, StorageError if another registry has the directory, ValueError for `memory` with a `root`,
    search or events, and any other reason not to start.
    """
    if memory and root is not None:
        raise ValueError("a registry in memory has no root")
    with TemporaryDirectory(prefix="zot-") as temporary:
        directory = root or Path(temporary, "content")
        loaded = _configuration(directory, config or {})
        if memory and loaded.extensions.search_enabled:
            raise ValueError("a registry in memory has no search: nothing would keep the index in sync")
        if memory and loaded.extensions.events_enabled:
            raise ValueError("a registry in memory has no events: nothing would send them")
        with _in_thread(loaded, directory, memory=memory) as running:
            yield running


def _configuration(root: Path, config: Mapping[str, Any]) -> Config:
    tree: dict[str, Any] = {key: value for key, value in config.items() if key not in {"storage", "http", "log"}}
    tree["storage"] = {"rootDirectory": str(root), "gc": False, "minFreeBytes": 0, "minFreePercent": 0} | dict(
        config.get("storage", {})
    )
    tree["http"] = {"address": "127.0.0.1", "port": "0", "workers": 0} | dict(config.get("http", {}))
    tree["log"] = {"level": "info", "output": str(root.parent / "zot.log")} | dict(config.get("log", {}))
    loaded = load_tree(tree, compile_condition).config
    refuse_unbuilt(loaded, BUILT)
    return loaded


@contextmanager
def _in_thread(config: Config, root: Path, *, memory: bool) -> Iterator[RunningRegistry]:
    # No load balancer is in front, which would have to notice that the registry ends.
    plan = replace(make_plan(config, None, workers=0, read_only=False), unready_s=0.0, memory=memory)
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
        except BaseException as error:  # noqa: BLE001 (the thread that waits for this one raises it)
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
    """Return the fixture, None where pytest is not installed: the module is useful without it."""
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
