"""The page on events works: its receiver, its configuration, and its check of signatures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs.walkthrough import blocks
from extensions.events.receiver import Receiver
from http_client import Client, wait_for
from layout.images import image
from servers.process import accepts, free_port
from zot.testing import serve

PAGE = blocks("how-to/receive-events.md")
PYTHON = [each.text for each in PAGE if each.language == "python"]
CONFIGURATIONS = [json.loads(each.text) for each in PAGE if each.language == "json"]


def test_the_receiver_of_the_page_gets_events(tmp_path: Path) -> None:
    """A push to a registry with the configuration of the page is printed by the receiver of the page."""
    port, output = str(free_port()), tmp_path / "output"
    script = tmp_path / "receiver.py"
    script.write_text(PYTHON[0].replace("9000", port))
    extensions = json.loads(json.dumps(CONFIGURATIONS[0]).replace("9000", port))
    with output.open("wb") as out, subprocess.Popen([sys.executable, script], stdout=out) as receiver:
        try:
            wait_for(lambda: accepts(int(port)))
            with serve(tmp_path / "content", extensions) as registry:
                digest = Client(registry.host).push("team/app", image("app"), "1.0")
                wait_for(lambda: output.read_text().count("\n") == 2)
        finally:
            receiver.kill()
    assert output.read_text().splitlines() == [
        "zotregistry.repository.created team/app None None",
        f"zotregistry.image.updated team/app 1.0 {digest}",
    ]


def test_the_check_of_the_page_knows_signatures(tmp_path: Path) -> None:
    """What the registry signs is accepted, and nothing else."""
    scope: dict[str, Any] = {}
    exec(PYTHON[1], scope)
    is_ours: Callable[..., bool] = scope["is_ours"]
    secret = "whsec_b25lIHNlY3JldA=="
    with Receiver() as receiver:
        sink = {"type": "http", "address": receiver.url, "signingSecrets": ["another", secret]}
        with serve(tmp_path / "content", {"extensions": {"events": {"enable": True, "sinks": [sink]}}}) as registry:
            Client(registry.host).push("team/app", image("app"), "1.0")
            wait_for(lambda: len(receiver.accepted) == 2)
    request = receiver.accepted[-1]
    assert is_ours(request.headers, request.body, secret)
    assert not is_ours(request.headers, request.body + b" ", secret)
    assert not is_ours(request.headers, request.body, "whsec_b3RoZXI=")
