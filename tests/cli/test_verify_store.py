"""`zot verify --store` says what retention would do to the tags that are there."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from http_client import Client
from layout.images import image
from zot.cli.verify import command
from zot.testing import serve


def test_a_repository_that_would_lose_every_tag_is_warned_about_with_their_number(tmp_path: Path) -> None:
    """Only repositories that retention would leave without a tag are named; nothing is removed by asking."""
    policy = {"repositories": ["**"], "keepTags": [{"patterns": ["^v"]}]}
    file = tmp_path / "config.json"
    storage = {"rootDirectory": str(tmp_path / "store"), "retention": {"policies": [policy]}}
    file.write_text(json.dumps({"storage": storage, "http": {"port": "0"}, "log": {"output": str(tmp_path / "log")}}))
    with serve(tmp_path / "store") as registry:
        client = Client(registry.host)
        client.push("gone", image("a"), "latest", "edge")
        client.push("stays", image("b"), "latest", "v1")

    for _ in range(2):
        done = CliRunner().invoke(command, ["--store", str(file)])
        assert done.exit_code == 0
        assert "every tag of gone (2) would be deleted" in done.stderr
        assert "stays" not in done.stderr
    assert "every tag" not in CliRunner().invoke(command, [str(file)]).stderr
