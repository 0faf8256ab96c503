"""The configuration file is followed: what can change while serving does, without a request being dropped."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from http_client import wait_for
from layout.images import image
from servers.zot import ZotServer

# What is started for all of them is started once.
pytestmark = pytest.mark.xdist_group("reloading")

READ = {"repositories": {"**": {"anonymousPolicy": ["read"]}}}
WRITE = {"repositories": {"**": {"anonymousPolicy": ["read", "create", "update", "delete"]}}}


def statuses(server: ZotServer) -> set[int]:
    """What deleting an absent tag is answered, asked often enough to reach every process."""
    return {server.client.ask("DELETE", "/v2/app/manifests/absent").status for _ in range(32)}


@contextmanager
def asking(server: ZotServer) -> Iterator[list[object]]:
    """Pull over open connections without a pause while the block runs; give what was no 200."""
    done = threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        with closing(server.client.connection()) as connection:
            while not done.is_set():
                try:
                    connection.request("GET", "/v2/app/manifests/v1")
                    response = connection.getresponse()
                    response.read()
                except OSError as error:
                    wrong.append(error)
                else:
                    if response.status != 200:
                        wrong.append(response.status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.fixture(autouse=True)
def _one_image(server: ZotServer) -> None:
    """Have something to pull, and a policy that lets every client write."""
    server.configure(accessControl=WRITE)
    wait_for(lambda: statuses(server) == {404})
    server.client.push("app", image("a"), "v1")


def test_access_control_changes_while_serving(server: ZotServer) -> None:
    """A new policy holds in every process soon after; no request that was allowed all along fails."""
    with asking(server) as wrong:
        for policy, expected in ((READ, {403}), (WRITE, {404}), (READ, {403})):
            server.configure(accessControl=policy)
            wait_for(lambda: statuses(server) == expected)  # noqa: B023
    assert wrong == []
    wait_for(lambda: "configuration reloaded: http.accessControl" in server.output())


@pytest.mark.parametrize(
    "text", ["{", '{"nonsense": true}', '{"http": {"accessControl": {"repositories": {"[": {"policies": []}}}}}']
)
def test_an_invalid_file_changes_nothing(server: ZotServer, text: str) -> None:
    """The log says so once, and the policy before it stays."""
    server.configure(accessControl=READ)
    wait_for(lambda: statuses(server) == {403})
    before = server.output().count("configuration not reloaded, the old one stays")
    with asking(server) as wrong:
        server.config.write_text(text)
        wait_for(lambda: server.output().count("configuration not reloaded, the old one stays") == before + 1)
        assert statuses(server) == {403}
    assert wrong == []


def test_what_needs_a_restart_is_said(server: ZotServer) -> None:
    """A key that cannot change while serving is named, and the others of the same file hold."""
    changes: dict[str, Any] = {"realm": "elsewhere", "accessControl": READ}
    server.configure(**changes)
    wait_for(lambda: statuses(server) == {403})
    wait_for(lambda: "these changes take effect after a restart: http.realm" in server.output())
