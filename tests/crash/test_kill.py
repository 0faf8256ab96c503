"""kill -9 of a whole server, and of single processes of it, while clients push, re-tag and delete."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.clients import REPOSITORY, Answered, clients, pull
from crash.conftest import Figure
from crash.second_reader import Holdings
from http_client import Client, wait_for
from servers.zot import ZotServer

SERIES = 5
VICTIMS = ["all", "all", "all", "writer", "worker-0", "jobs"]


@pytest.fixture
def server() -> Iterator[ZotServer]:
    """A server of several processes, on a disk: what they leave is in the page cache all the same."""
    with tempfile.TemporaryDirectory() as folder, ZotServer(Path(folder)) as server:
        yield server


@pytest.mark.parametrize("series", range(SERIES))
def test_a_kill_loses_nothing(server: ZotServer, seed: int, series: int, torture: bool, figure: Figure) -> None:
    """Acknowledged content is there, each tag's history has one order, and the store recovers without manual help."""
    chance = random.Random(f"{seed} {series}")
    rounds: list[Answered] = []
    for number in range(200 if torture else 6):
        victim = chance.choice(VICTIMS)
        with clients(server.client, f"r{number}", seed * SERIES + series) as answered:
            time.sleep(chance.uniform(0.15, 0.35))
            kill(server, victim)
            if victim != "all":
                time.sleep(0.2)
        if victim == "all":
            server.start()
        assert_is_there(server.client, answered)
        figure("rounds of kill -9 under load", 1)
        figure("calls to tags in these rounds, all of them linearizable", answered.calls)
        figure("requests without an answer in these rounds", answered.unanswered)
        rounds.append(answered)
    server.stop()
    holdings = Holdings(server.root)
    assert not holdings.flaws
    for answered in rounds:
        assert_is_held(holdings, answered)


def kill(server: ZotServer, victim: str) -> None:
    """Kill one process of the server, or all of them."""
    if victim == "all":
        server.kill()
    else:
        # The one before it may have been killed a moment ago.
        wait_for(lambda: victim in server.processes())
        os.kill(server.processes()[victim], signal.SIGKILL)


def assert_is_there(client: Client, answered: Answered) -> None:
    """Pull everything that was acknowledged, and look at each tag once more."""
    for kind, digests in (("blobs", answered.blobs), ("manifests", answered.manifests)):
        for digest in digests:
            answer = client.get(f"/v2/{REPOSITORY}/{kind}/{digest}")
            assert answer.status == 200, (kind, digest, answer.body)
            assert f"sha256:{hashlib.sha256(answer.body).hexdigest()}" == digest
    for path in list(answered.registers):
        pull(client, answered, path)
    assert not answered.contradictions()


def assert_is_held(holdings: Holdings, answered: Answered) -> None:
    """Compare the content at the end of a round with what the second reader finds at the end."""
    held = {(key.kind, key.name): value for key, value in holdings.contents.items()}
    assert not {("blob", digest) for digest in answered.blobs} - held.keys()
    assert not {("manifest", digest) for digest in answered.manifests} - held.keys()
    for path, calls in answered.registers.items():
        if "/manifests/" in path:
            assert held.get(("tag", path.rpartition("/")[2])) == calls[-1].value
