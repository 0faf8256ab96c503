"""A process that is replaced while something else is down runs by what the others run by, and the server goes on."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import bcrypt
import pytest

from certificates import Authority
from http_client import Client, wait_for
from layout.images import image
from processes.test_deaths import kill
from processes.test_tls import serial, trusting
from servers.redis import RedisServer
from servers.zot import ZotServer

READ = {"repositories": {"**": {"anonymousPolicy": ["read"]}}}
WRITE = {"repositories": {"**": {"anonymousPolicy": ["read", "create", "update", "delete"]}}}


def beginnings(client: Client) -> set[int]:
    """What beginning an upload is answered, asked often enough to reach every worker."""
    return {client.ask("POST", "/v2/app/blobs/uploads/").status for _ in range(12)}


@pytest.fixture(params=["half written", "deleted", "of another store"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ZotServer]:
    """A server whose policy was reloaded, and whose configuration file was damaged after that."""
    with ZotServer(tmp_path, http={"accessControl": WRITE}) as server:
        server.client.push("app", image("a"), "v1")
        server.configure(accessControl=READ)
        wait_for(lambda: beginnings(server.client) == {403})
        if request.param == "half written":
            server.config.write_text('{"storage": {"rootDire')
        elif request.param == "deleted":
            server.config.unlink()
        else:
            server.config.write_text(server.config.read_text().replace(str(server.root), str(tmp_path / "other")))
        yield server


def test_the_configuration_of_the_others_is_taken(unusable: ZotServer) -> None:
    """Each process is replaced by one with the policy that was reloaded and the store that was opened."""
    for name in ("worker-0", "jobs", "writer", "worker-1"):
        kill(unusable, name)
    wait_for(lambda: unusable.client.get("/readyz").status == 200)
    assert beginnings(unusable.client) == {403}
    assert {unusable.client.get("/v2/app/manifests/v1").status for _ in range(12)} == {200}
    assert not (unusable.folder / "other").exists()


def test_a_mended_configuration_is_taken(unusable: ZotServer) -> None:
    """A process that was replaced follows the file: once it is good again, it is reloaded there, too."""
    kill(unusable, "worker-0")
    unusable.configure(accessControl=WRITE)
    wait_for(lambda: beginnings(unusable.client) == {202})


def test_the_certificate_of_the_others_is_taken(tmp_path: Path, authority: Authority) -> None:
    """While the files are half renewed, a worker that is replaced serves the certificate that was last reloaded."""
    for name in ("server.pem", "server.key"):
        shutil.copy(authority.folder / name, tmp_path / name)
    tls = {"cert": str(tmp_path / "server.pem"), "key": str(tmp_path / "server.key")}
    with ZotServer(tmp_path, http={"tls": tls}, tls=trusting(authority)) as server:
        first = serial(server, authority)
        renewed = authority.issue("renewed", hosts=["127.0.0.1"])
        for path, name in zip(renewed, ("server.pem", "server.key"), strict=True):
            shutil.copy(path, tmp_path / name)
        wait_for(lambda: first not in {serial(server, authority) for _ in range(8)})
        second = serial(server, authority)
        shutil.copy(authority.issue("other", hosts=["127.0.0.1"])[1], tmp_path / "server.key")
        for name in ("worker-0", "worker-1"):
            kill(server, name)
        assert {serial(server, authority) for _ in range(8)} == {second}


def test_redis_is_waited_for(tmp_path: Path) -> None:
    """Workers that are replaced while Redis is away let in who has a password, and refuse none once it is back."""
    (tmp_path / "htpasswd").write_text(f"alice:{bcrypt.hashpw(b'pw', bcrypt.gensalt(4)).decode()}\n")
    with RedisServer(tmp_path) as redis:
        auth = {
            "htpasswd": {"path": str(tmp_path / "htpasswd")},
            "sessionDriver": {"name": "redis", "url": redis.url},
        }
        with ZotServer(tmp_path, http={"auth": auth}) as server:
            alice = Client(server.host, user="alice:pw")
            alice.push("app", image("a"), "v1")
            redis.kill()
            for name in ("worker-0", "worker-1"):
                kill(server, name)
            assert {alice.get("/v2/app/manifests/v1").status for _ in range(8)} == {200}
            assert server.process is not None
            assert server.process.poll() is None


def test_a_log_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    """A worker that is replaced while the log's directory is missing serves, and writes its lines once it is back."""
    logs = tmp_path / "logs"
    logs.mkdir()
    server = ZotServer(tmp_path, log={"output": str(logs / "zot.log")})
    with server:
        server.client.push("app", image("a"), "v1")
        logs.rename(tmp_path / "away")
        for name in ("worker-0", "worker-1"):
            kill(server, name)
        assert {server.client.get("/v2/app/manifests/v1").status for _ in range(8)} == {200}
        assert server.client.get("/v2/app/manifests/afterwards").status == 404
        (tmp_path / "away").rename(logs)
        wait_for(lambda: "/v2/app/manifests/afterwards" in (logs / "zot.log").read_text())


@pytest.mark.parametrize("name", ["worker-0", "writer", "jobs"])
def test_a_process_that_hangs_is_replaced(server: ZotServer, name: str) -> None:
    """It is killed once it has not responded for some time; until then /readyz says no where requests need it."""
    wait_for(lambda: "zot serves" in server.output())
    pid = server.processes()[name]
    os.kill(pid, signal.SIGSTOP)
    answers: set[int] = set()

    def replaced() -> bool:
        with suppress(OSError):  # of a connection to the process that hangs
            answers.add(Client(server.host, limit_s=1.0).get("/readyz").status)
        return server.processes().get(name, pid) != pid

    wait_for(replaced)
    assert f'"process {name} has not responded for 12 s; it is killed","pid":{pid}' in server.output()
    assert (503 in answers) == (name != "jobs")
    wait_for(lambda: server.client.get("/readyz").status == 200)
    server.client.push("hung/app", image("a"), name)
