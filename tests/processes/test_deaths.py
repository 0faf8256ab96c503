"""A process that dies is replaced and said so; no acknowledged write and no open connection of the others suffers."""

import os
import signal
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from http_client import OCTETS, wait_for
from layout.images import sha256
from processes.pushers import pushing
from servers.zot import ZotServer

# What is started for all of them is started once.
pytestmark = pytest.mark.xdist_group("deaths")

CONTENT = os.urandom(200_000)
DIGEST = sha256(CONTENT)


def kill(server: ZotServer, name: str) -> None:
    """Kill a process of the server, and wait until it is replaced."""
    pid = server.processes()[name]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: f'"process {name} died of signal 9; it is replaced","pid":{pid}' in server.output())
    wait_for(lambda: server.processes().get(name, pid) != pid)


def worker_of(connection: HTTPConnection) -> str:
    """Ask over a connection which process answers it: its request ids begin with it. Raises what http.client does."""
    connection.request("GET", "/v2/")
    response = connection.getresponse()
    response.read()
    return (response.headers["X-Request-Id"] or "").partition("-")[0]


def answers(connection: HTTPConnection, worker: str) -> bool:
    """Tell whether a connection is still open to the worker that it was made to."""
    if connection.sock is None:
        return False
    try:
        return worker_of(connection) == worker
    except (OSError, HTTPException):
        return False


def test_a_worker_dies(server: ZotServer) -> None:
    """Connections of the other go on, new ones are served, an upload that it began goes on, what it pushed is there."""
    client = server.client
    location = client.begin("worker/app")
    client.ask("PATCH", location, CONTENT[:70_000], OCTETS)
    with ExitStack() as opened:
        connections = [opened.enter_context(closing(client.connection())) for _ in range(12)]
        workers = [worker_of(connection) for connection in connections]
        assert len(set(workers)) == 2
        with pushing(client, "worker/busy") as pushed:
            wait_for(lambda: len(pushed.digests) >= 5)
            kill(server, "worker-0")
        survivors = [
            worker for connection, worker in zip(connections, workers, strict=True) if answers(connection, worker)
        ]
    assert len(set(survivors)) == 1
    assert survivors.count(survivors[0]) == workers.count(survivors[0])
    assert pushed.is_there(client)
    assert client.ask("PATCH", location, CONTENT[70_000:], OCTETS)["Range"] == f"0-{len(CONTENT) - 1}"
    assert client.ask("PUT", f"{location}?digest={DIGEST}").status == 201
    assert client.get(f"/v2/worker/app/blobs/{DIGEST}").body == CONTENT


def test_the_writer_dies(server: ZotServer) -> None:
    """Pushes wait for its successor and are acknowledged by it; none fails, and none that was acknowledged is lost."""
    with pushing(server.client, "writer/busy") as pushed:
        for _ in range(2):
            so_far = len(pushed.digests)
            wait_for(lambda: len(pushed.digests) > so_far + 3 or len(pushed.digests) == 15)  # noqa: B023
            kill(server, "writer")
    assert pushed.failures == []
    assert pushed.is_there(server.client)


def test_the_jobs_die(server: ZotServer) -> None:
    """No client that pushes notices, and its successor exports the layouts."""
    with pushing(server.client, "jobs/busy") as pushed:
        wait_for(lambda: len(pushed.digests) >= 3)
        kill(server, "jobs")
    assert pushed.failures == []
    assert pushed.is_there(server.client)
    index = server.root / "jobs" / "busy0" / "index.json"
    last = next(digest for name, digest in reversed(pushed.digests.items()) if name.startswith("jobs/busy0:"))
    wait_for(lambda: index.exists() and last in index.read_text())


def test_the_supervisor_dies(server: ZotServer) -> None:
    """The others finish what they have and go; the next server waits for them, and has all that was acknowledged."""
    with pushing(server.client, "supervisor/busy") as pushed:
        wait_for(lambda: len(pushed.digests) >= 3)
        orphans = server.processes()
        os.kill(server.pid, signal.SIGKILL)
        assert server.process is not None
        server.process.wait()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans.values()))
    server.start()
    assert pushed.is_there(server.client)


def test_all_of_them_die(server: ZotServer) -> None:
    """After kill -9 of the whole server the next one has all that was acknowledged, and an upload under way goes on."""
    client = server.client
    location = client.begin("all/app")
    client.ask("PATCH", location, CONTENT[:70_000], OCTETS)
    with pushing(client, "all/busy") as pushed:
        wait_for(lambda: len(pushed.digests) >= 5)
        server.kill()
    server.start()
    assert pushed.is_there(client)
    assert client.get(location)["Range"] == "0-69999"
    assert client.ask("PUT", f"{location}?digest={DIGEST}", CONTENT[70_000:], OCTETS).status == 201
    assert client.get(f"/v2/all/app/blobs/{DIGEST}").body == CONTENT
