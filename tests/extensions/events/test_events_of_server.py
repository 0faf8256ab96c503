"""A running server sends events, also over crashes, and operators see and repeat deliveries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from extensions.events.receiver import Received, Receiver
from http_client import wait_for
from layout.images import image
from servers.zot import ZOT, ZotServer

pytestmark = pytest.mark.xdist_group("events")


class Sender(ZotServer):
    """A server that sends events to sinks."""

    def __init__(self, folder: Path, *sinks: dict[str, Any]) -> None:
        """Describe the server; nothing starts yet."""
        self._sinks = sinks
        super().__init__(folder)

    def configure(self, **http: Any) -> None:
        """Add the sinks, and metrics."""
        super().configure(**http)
        tree = json.loads(self.config.read_text())
        tree["extensions"] = {"events": {"enable": True, "sinks": self._sinks}, "metrics": {"enable": True}}
        self.config.write_text(json.dumps(tree))

    def run(self, *arguments: str) -> Any:
        """Run a command of `zot` on the configuration, and return its JSON."""
        command = [str(ZOT), *arguments, str(self.config)]
        return json.loads(subprocess.run(command, check=False, stdout=subprocess.PIPE, timeout=60).stdout)

    def metric(self, name: str) -> float | None:
        """Return a metric of the sink; None: it has none yet."""
        lines = self.client.get("/metrics").body.decode().splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith(f'{name}{{sink="hook"}}')]
        return float(values[0]) if values else None


@contextmanager
def sending(folder: Path) -> Iterator[tuple[Sender, Receiver]]:
    """Run a server with one sink."""
    with Receiver() as receiver, Sender(folder, {"type": "http", "address": receiver.url, "name": "hook"}) as server:
        yield server, receiver


def test_none_is_lost_over_kills(tmp_path: Path) -> None:
    """Whatever process is killed in the midst of deliveries, each push is told at least once, and in order."""
    with sending(tmp_path) as (server, receiver):
        failures: list[int] = []

        def sometimes(_: Received) -> int:
            failures.append(1)
            return 500 if len(failures) % 5 == 0 else 204

        receiver.answer = sometimes
        server.client.push("begin", image("begin"), "1")
        wait_for(lambda: bool(receiver.accepted))  # from then on the sink has a position
        pushed = []
        for number in range(36):
            name = "ab"[number % 2]
            server.client.push(name, image(str(number)), f"{number:02}")
            pushed.append(f"{name}:{number:02}")
            if number % 12 == 5:
                process = server.processes()["jobs"]
                os.kill(process, signal.SIGKILL)
                wait_for(lambda process=process: server.processes().get("jobs", process) != process)  # type: ignore[misc]
            if number == 24:
                server.kill()
                server.start()
        wait_for(lambda: set(pushed) <= set(receiver.images))
        for name in "ab":
            told = [each for each in receiver.images if each.startswith(f"{name}:") and each != f"{name}:"]
            assert told == [each for each in pushed if each.startswith(name)]
        assert server.metric("zot_events_dead_letters") == 0


def test_operators_see_and_repeat_deliveries(tmp_path: Path) -> None:
    """Status, metrics and `zot events` tell of a refused event, which is sent again when an operator wants it."""
    with sending(tmp_path) as (server, receiver):
        receiver.answer = lambda request: 422 if request.image == "a:bad" else 204
        server.client.push("a", image("one"), "good", "bad")
        wait_for(lambda: server.metric("zot_events_dead_letters") == 1)
        (letter,) = server.run("events", "list", "--sink", "hook", "--json")
        assert (letter["repository"], letter["reference"], letter["attempts"]) == ("a", "bad", 3)
        status = server.run("status", "--format", "json")
        (sink,) = status["sinks"]
        assert (sink["name"], sink["delivered"], sink["dead_letters"], sink["failures"]) == ("hook", 2, 1, 3)
        assert any("zot events list" in each for each in status["warnings"])
        assert (server.metric("zot_events_delivered_total"), server.metric("zot_events_behind")) == (2, 0)
        receiver.answer = lambda _: 204
        assert server.run("events", "replay", "--json") == [{"sink": "hook", "what": "all dead letters"}]
        wait_for(lambda: receiver.images[-1] == "a:bad")
        wait_for(lambda: server.metric("zot_events_dead_letters") == 0)
        count = len(receiver.accepted)
        server.run("events", "replay", "--since", "0", "--json")
        wait_for(lambda: len(receiver.accepted) == 2 * count)
        assert {each.id for each in receiver.accepted[:count]} == {each.id for each in receiver.accepted[count:]}
