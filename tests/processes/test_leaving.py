"""Stopping: requests under way are finished, and every layout shows what was pushed."""

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from certificates import Authority
from clients import Clients
from http_client import Client, parsed, read_all, wait_for
from layout.images import Layout, image, index, sha256
from servers.process import STOP_LIMIT_S
from servers.zot import ZotServer
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.schema import MIGRATIONS

PUSHED = image("a")
CONTENT = b"0123456789" * 10_000


@pytest.fixture(params=["several processes", "one process", "HTTPS"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[ZotServer]:
    """A server that is not started yet. HTTPS is served by another event loop."""
    arguments = ("--workers", "0") if request.param == "one process" else ()
    made = ZotServer(tmp_path_factory.mktemp("server"), arguments=arguments)
    if request.param == "HTTPS":
        made.configure(tls={"cert": str(authority.folder / "server.pem"), "key": str(authority.folder / "server.key")})
        made.client = Client(made.host, ssl.create_default_context(cafile=authority.path))
    yield made
    made.kill()


def refuses(server: ZotServer) -> bool:
    """Whether no process accepts connections any more."""
    try:
        server.client.get("/livez")
    except OSError:
        return True
    return False


def begin(server: ZotServer, head: str) -> socket.socket:
    """Send the head of a request and half of its body, and see that it is under way."""
    connection = server.client.socket()
    connection.sendall(f"{head}\r\nHost: x\r\nContent-Length: {len(CONTENT)}\r\nExpect: 100-continue\r\n\r\n".encode())
    assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(CONTENT[:50_000])
    return connection


@pytest.mark.needs("skopeo")
def test_requests_under_way_are_finished(server: ZotServer, clients: Clients) -> None:
    """After SIGTERM an upload goes on to its end, idle connections are closed, new ones refused; it ends with 0."""
    server.start()
    client = server.client
    client.push("team/app", PUSHED, "v1")
    client.push("team/app", index(PUSHED), "multi")
    idle = client.connection()
    idle.request("GET", "/v2/")
    idle.getresponse().read()
    location = client.begin("team/app")
    with begin(server, f"PUT {location}?digest={sha256(CONTENT)} HTTP/1.1") as upload:
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        assert read_all(idle.sock) == b""
        idle.close()
        wait_for(lambda: refuses(server))
        assert server.process.poll() is None
        upload.sendall(CONTENT[50_000:])
        answer = parsed(read_all(upload))
    assert (answer.status, answer["Connection"]) == (201, "close")
    assert server.stop() == 0
    layout = Layout(server.root / "team" / "app")
    assert layout.file(sha256(CONTENT)).read_bytes() == CONTENT
    assert layout.tags() == {"v1": PUSHED.digest, "multi": index(PUSHED).digest}
    clients.run("skopeo", "copy", "--all", f"oci:{layout.path}:multi", f"oci:{clients.folder}/copy:multi")
    assert not list((server.root / "team" / "app" / ".uploads").glob("*"))


def test_requests_that_take_too_long_are_cut_off(server: ZotServer) -> None:
    """After drainTimeout the rest is cut off, which the log says; what came of it is there to go on from."""
    server.configure(drainTimeout="300ms")
    server.start()
    location = server.client.begin("app")
    with begin(server, f"PATCH {location} HTTP/1.1") as upload:
        assert server.stop() == 0
        assert read_all(upload) == b""
    assert "1 requests were still under way and are cut off" in server.output()
    with server:
        assert server.client.get(location)["Range"] == "0-49999"


@pytest.mark.parametrize("names", [("jobs",), ("writer", "worker-0")])
def test_processes_that_hang_do_not_hold_up_a_stop(tmp_path: Path, names: tuple[str, ...]) -> None:
    """They are killed when their time is over; what was acknowledged is there afterwards."""
    server = ZotServer(tmp_path, http={"drainTimeout": "100ms"})
    server.start()
    server.client.push("app", PUSHED, "v1")
    for name in names:
        os.kill(server.processes()[name], signal.SIGSTOP)
    assert server.stop() == 0
    with server:
        assert server.client.tags("app") == ["v1"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_stop_says_what_it_waits_for(tmp_path: Path, workers: str) -> None:
    """How long at most, and that a second signal ends it at once; the log has how many requests there are."""
    server = ZotServer(tmp_path, arguments=("--workers", workers))
    server.start()
    wait_for(lambda: "zot serves" in server.output())
    with begin(server, f"PATCH {server.client.begin('app')} HTTP/1.1"):
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        wait_for(lambda: "waiting for 1 requests under way" in server.output())
        said = "requests under way have up to 17 s, then layouts are written; a second signal ends it at once"
        assert server.output().count(f"zot stops: {said}") == 1
        server.process.send_signal(signal.SIGINT)
        server.process.wait(10)


def test_told_twice_it_ends_at_once(server: ZotServer) -> None:
    """A second signal does not wait for anybody, and loses nothing that was acknowledged."""
    server.start()
    server.client.push("app", PUSHED, "v1")
    with begin(server, f"PATCH {server.client.begin('app')} HTTP/1.1"):
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        wait_for(lambda: refuses(server))
        server.process.send_signal(signal.SIGINT)
        server.process.wait(10)
    with server:
        assert server.client.tags("app") == ["v1"]


def test_who_is_asked_whether_it_is_ready_says_no_first(server: ZotServer) -> None:
    """Where a load balancer asks /readyz, new connections are accepted for some seconds more, while it answers 503."""
    server.start()
    assert server.client.get("/readyz").status == 200
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: server.client.get("/readyz").status == 503)
    answer = server.client.get("/v2/")
    assert (answer.status, answer["Connection"]) == (200, "close")
    server.kill()


def test_a_stop_waits_for_the_process_that_exports(tmp_path: Path) -> None:
    """The jobs process died several times and is still to be replaced: the stop brings the layout level."""
    server = ZotServer(tmp_path, arguments=("--workers", "1"))
    server.start()
    for _ in range(4):
        wait_for(lambda: "jobs" in server.processes())
        killed = server.processes()["jobs"]
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: server.processes().get("jobs") != killed)  # noqa: B023 (called at once)
    server.client.push("app", PUSHED, "v1")
    assert server.stop() == 0
    assert Layout(server.root / "app").tags() == {"v1": PUSHED.digest}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_it_ends_if_its_catalog_cannot_be_used(tmp_path: Path, workers: str) -> None:
    """A catalog of a newer version is said once; who waits for it is not waited for."""
    server = ZotServer(tmp_path, arguments=("--workers", workers))
    server.start()
    server.stop()
    with closing(apsw.Connection(str(server.root / ".zot" / DATABASE))) as database:
        database.pragma("user_version", len(MIGRATIONS) + 1)
    ended = subprocess.run(server.command, capture_output=True, text=True, check=False, timeout=STOP_LIMIT_S)
    assert ended.returncode == 1
    assert ended.stderr.count("was written by a newer zot") == 1
