"""The server learns from the declaration of an extension all that it adds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from aiohttp import web

from admin.harness import Client, Place
from http_client import wait_for
from zot.api.http_request import HttpRequest
from zot.auth.credentials import ResourceClass
from zot.config.model import Config
from zot.config.supported import FEATURES
from zot.extensions.declaration import Extension, ExtensionRoute, HttpContext
from zot.maintenance.build import MaintenanceParts
from zot.maintenance.scheduler import Task
from zot.server import background, http_server
from zot.server.extensions import BUILT, EXTENSIONS
from zot.testing import serve


def install(monkeypatch: pytest.MonkeyPatch, extension: Extension) -> None:
    """Have servers of this test built with one more extension."""
    for module in (background, http_server):
        monkeypatch.setattr(module, "EXTENSIONS", (*EXTENSIONS, extension))


def test_what_extensions_build_is_supported() -> None:
    """Each feature that an extension declares exists, is built by it alone, and may be asked for."""
    declared = [feature for each in EXTENSIONS for feature in each.features]
    assert len(set(declared)) == len(declared)
    assert set(declared) <= set(FEATURES) & BUILT
    assert len({each.name for each in EXTENSIONS}) == len(EXTENSIONS)


def test_a_route_is_answered_for_those_who_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handler is called for a principal that may use it, and only for its method."""
    allowed = threading.Event()

    async def handler(http: HttpRequest) -> web.StreamResponse:
        return web.Response(text=http.principal.name if http.principal is not None else "")

    def routes(context: HttpContext) -> Sequence[ExtensionRoute]:
        assert context.config.http.port == "0"
        return [ExtensionRoute("/hello", "GET", ResourceClass.REGISTRY, handler, lambda _: allowed.is_set())]

    install(monkeypatch, Extension("hello", frozenset(), routes=routes))
    with serve(memory=True) as registry:
        client = Client(registry)
        assert client.ask("GET", "/hello")[0] in {401, 403}
        allowed.set()
        assert client.ask("GET", "/hello")[0] == 200
        assert client.ask("POST", "/hello")[0] == 405
        assert client.ask("GET", "/hallo")[0] == 404


def test_jobs_and_consumers_run_in_the_background(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A job is one of the scheduler's, and a consumer reads every change that was committed since it began."""
    seen: list[str] = []

    def jobs(_: Config, __: MaintenanceParts) -> Sequence[Task]:
        async def run(say: Callable[[str], object]) -> AsyncGenerator[float, None]:
            say("greeted")
            yield 0.0

        return [Task("Greeting", run, 3600.0)]

    def consumers(_: Config, parts: MaintenanceParts) -> Sequence[Callable[[], Awaitable[None]]]:
        async def follow() -> None:
            cursor = (await parts.registry.catalog.changes(None, 1)).cursor
            while True:
                page = await parts.registry.catalog.changes(cursor, 100)
                cursor = page.cursor
                seen.extend(str(each.tag) for each in page.changes if each.tag)
                await asyncio.sleep(0.01)

        return [follow]

    install(monkeypatch, Extension("greeter", frozenset(), jobs=jobs, consumers=consumers))
    place = Place(tmp_path, {})
    with place.serve() as registry:
        Client(registry).push("layer", "v1")
        wait_for(lambda: "v1" in seen)
        wait_for(lambda: "greeted" in place.zot("jobs"))


def test_declarations_are_read_fast() -> None:
    """A check of the configuration imports neither the HTTP server's library nor that of metrics."""
    script = (
        "import sys; import zot.server.extensions;"
        "print(sorted({'aiohttp', 'apsw', 'prometheus_client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
