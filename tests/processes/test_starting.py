"""Starting: what a server needs is had, or its lack is said in one line and the exit status is 1."""

import json
import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from http_client import parsed, read_all, wait_for
from layout.images import image
from servers.zot import ZOT, ZotServer
from zot import __version__
from zot.cli.main import cli
from zot.config.load import load_tree
from zot.config.model import Config
from zot.processes import start
from zot.server.plan import make_plan
from zot.storage.lock import locked_roots

Refused = Callable[..., str]


def logged(server: ZotServer, message: str) -> list[dict[str, Any]]:
    """Return the lines of its log with this message."""
    lines = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == message]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Run `zot serve` with a configuration that it must refuse, and give what it says."""

    def run(tree: dict[str, Any]) -> str:
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "data")}} | tree))
        done = subprocess.run([ZOT, "serve", file], capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Traceback" not in done.stderr
        return done.stderr

    return run


def test_a_port_in_use_is_said(refused: Refused) -> None:
    """Which key, which port, and what is wrong with it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = refused({"http": {"port": str(port), "workers": 2}})
    assert said == f"Error: http.address '127.0.0.1', http.port {port}: Address already in use\n"


def test_a_directory_that_cannot_be_is_said(refused: Refused, tmp_path: Path) -> None:
    """A root below a file, or on a file system that takes no files, is named."""
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "data", Path("/proc/zot")):
        said = refused({"storage": {"rootDirectory": str(root)}, "http": {"port": "0"}})
        assert said.startswith("Error: ")
        assert str(root) in said


def test_a_configuration_that_cannot_be_is_said(refused: Refused) -> None:
    """The file, the key and what would be right."""
    said = refused({"http": {"port": "70000"}})
    assert "config.json: http.port: invalid port 70000" in said


def test_certificates_that_cannot_be_used_are_said(refused: Refused, tmp_path: Path) -> None:
    """A certificate that is missing, or none, is named by its key before anything is served."""
    (tmp_path / "broken.pem").write_text("no certificate")
    for cert in ("missing.pem", "broken.pem"):
        tls = {"cert": str(tmp_path / cert), "key": str(tmp_path / cert)}
        assert f"http.tls.cert {tmp_path / cert}" in refused({"http": {"port": "0", "tls": tls}})


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("key", ["output", "audit"])
def test_a_log_that_cannot_be_written_is_said(refused: Refused, tmp_path: Path, key: str, workers: int) -> None:
    """A file in a directory that is not there, or that is a directory, is named by its key."""
    for path, why in ((tmp_path / "missing" / "zot.log", "No such file or directory"), (tmp_path, "Is a directory")):
        said = refused({"http": {"port": "0", "workers": workers}, "log": {key: str(path)}})
        assert said == f"Error: {tmp_path / 'config.json'}: log.{key} {str(path)!r}: {why}\n"


def test_a_directory_in_use_is_said_with_who_has_it(server: ZotServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second server on one directory names the first one, which goes on."""
    monkeypatch.setattr(start, "locked_roots", partial(locked_roots, wait_s=0))
    result = CliRunner().invoke(cli, ["serve", str(server.config)])
    assert result.exit_code == 1
    assert f"Error: {server.root} is in use by process {server.pid}, since " in result.output
    assert server.client.get("/v2/").status == 200


def test_a_server_takes_over_from_one_that_ends(tmp_path: Path) -> None:
    """Where two overlap, as in a rolling update on one volume, the second waits for the first and has all it had."""
    first, pushed = ZotServer(tmp_path), image("a")
    with first:
        first.client.push("app", pushed, "v1")
        second = ZotServer(tmp_path)
        second.log = tmp_path / "second.log"
        with subprocess.Popen([*second.command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as waiting:
            assert waiting.stderr is not None
            said = f"waiting until it ends: {first.root} is in use by process {first.pid}, since "
            assert waiting.stderr.readline().startswith(said.encode())
            first.stop()
            assert waiting.stderr.readline().startswith(b"zot serves")
            wait_for(second.ready)
            assert second.client.get("/v2/app/manifests/v1").body == pushed.content
            waiting.terminate()
            waiting.stderr.read()
        assert waiting.returncode == 0


def test_it_says_where_it_serves(server: ZotServer) -> None:
    """The first line names the address and the directory."""
    wait_for(lambda: f"zot serves http://{server.host} from {server.root}\n" in server.output())


@pytest.mark.parametrize(
    ("installed", "last"),
    [
        (["docker", "skopeo"], "  docker push localhost:8080/busybox"),
        (["podman"], "  podman push --tls-verify=false docker.io/library/busybox localhost:8080/busybox"),
        (["crane"], "  crane copy busybox localhost:8080/busybox"),
        ([], "  curl http://localhost:8080/v2/_catalog"),
    ],
)
def test_without_a_file_it_says_how_to_push(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    installed: list[str],
    last: str,
) -> None:
    """The first start shows the lines that push an image, by a client that is installed here."""
    for name in installed:
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    plan = make_plan(Config.default(), None, workers=0, read_only=False)
    start._show_ready(plan, ("127.0.0.1", 8080))
    said = capfd.readouterr().err.splitlines()
    assert said[0] == f"zot serves http://127.0.0.1:8080 from {Path('zot-data').absolute()}"
    assert said[-1] == last


@pytest.mark.parametrize("workers", ["0", "2"])
def test_systemd_is_told(tmp_path: Path, workers: str) -> None:
    """READY once requests are answered, STOPPING when it ends, to the socket that systemd names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        server = ZotServer(tmp_path, arguments=("--workers", workers))
        server.env["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        server.ready = lambda: systemd.recv(100) == b"READY=1"
        with server:
            assert server.client.get("/v2/").status == 200
        assert systemd.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_damaged_statistics_keep_nobody_from_serving(tmp_path: Path, workers: str) -> None:
    """They are set aside, which is reported, and counts of pulls start from zero."""
    damaged = tmp_path / "data" / ".zot" / "activity.db"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no database" * 1000)
    with ZotServer(tmp_path, arguments=("--workers", workers)) as server:
        server.client.push("app", image("a"), "v1")
        assert f"{damaged} is damaged: it is kept as {damaged}.damaged" in server.output()
    assert damaged.with_name("activity.db.damaged").read_bytes() == b"no database" * 1000
    assert damaged.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("name", ["activity.db", "control", "metrics"])
def test_what_lies_in_the_way_of_its_files_is_named(tmp_path: Path, name: str, workers: str) -> None:
    """A server whose own file is something else does not start, and says which in one line."""
    in_the_way = tmp_path / "data" / ".zot" / name
    in_the_way.mkdir(parents=True)
    (in_the_way / "x").mkdir()
    if name == "metrics":
        (in_the_way / "x").rmdir()
        in_the_way.rmdir()
        in_the_way.write_text("")
    server = ZotServer(tmp_path, arguments=("--workers", workers))
    ended = subprocess.run(server.command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert str(in_the_way) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_directory_may_lie_deep(tmp_path: Path) -> None:
    """Names of Unix sockets have a short limit, the path of a store has not."""
    folder = tmp_path / ("deep" * 30) / ("deeper" * 20)
    folder.mkdir(parents=True)
    with ZotServer(folder) as server:
        server.client.push("app", image("a"), "v1")


def test_file_descriptors_do_not_run_out(tmp_path: Path) -> None:
    """A process takes as many as it may have, and refuses connections with 503 before they are gone."""
    server = ZotServer(tmp_path, arguments=("--workers", "0"))
    server.command = ["prlimit", "--nofile=100:256", *server.command]
    with server, ExitStack() as held:
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert (soft, hard) == (256, 256)
        connections = [held.enter_context(closing(server.client.connection())) for _ in range(150)]
        statuses = []
        for connection in connections:
            connection.request("GET", "/v2/")
            statuses.append(connection.getresponse().status)
        assert statuses[:50] == [200] * 50
        assert statuses[-1] == 503
        held.close()
        server.client.push("app", image("a"), "v1")
    assert "Too many open files" not in server.output()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_unix_socket_is_served(tmp_path: Path, workers: str) -> None:
    """With `http.unixSocket` clients connect to its path, to any of the processes, and to no port."""
    path = tmp_path / "zot.sock"
    server = ZotServer(tmp_path, http={"unixSocket": str(path)}, arguments=("--workers", workers))
    server.ready = path.is_socket
    with server:
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert parsed(read_all(client)).status == 200
        with pytest.raises(ConnectionRefusedError):
            server.client.get("/v2/")


def test_a_server_may_be_read_only(tmp_path: Path) -> None:
    """With --read-only a store that others filled is served and not changed."""
    pushed = image("a")
    with ZotServer(tmp_path) as server:
        server.client.push("app", pushed, "v1")
    with ZotServer(tmp_path, arguments=("--read-only",)) as server:
        assert server.client.get("/v2/app/manifests/v1").body == pushed.content
        assert server.client.ask("DELETE", "/v2/app/manifests/v1").error == (405, "UNSUPPORTED")
        assert server.client.ask("POST", "/v2/app/blobs/uploads/").error == (405, "UNSUPPORTED")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_port_may_be_chosen_by_the_kernel(tmp_path: Path, workers: int) -> None:
    """Port 0 is one that is free, the same for all workers, which the first line and the log tell."""
    server = ZotServer(tmp_path, http={"port": "0", "address": "::1", "workers": workers})
    server.ready = lambda: "zot serves" in server.output()
    with server:
        (line,) = [line for line in server.output().splitlines() if line.startswith("zot serves http://[::1]:")]
        port = int(line.split()[2].rpartition(":")[2])
        for _ in range(5):
            with socket.create_connection(("::1", port), timeout=10) as client:
                client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert parsed(read_all(client)).status == 200
        message = "port is unspecified, listening on kernel chosen port"
        wait_for(lambda: any(line["port"] == port for line in logged(server, message)))


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("level", ["debug", "info"])
def test_the_log_begins_with_what_the_server_may_use(tmp_path: Path, level: str, workers: str) -> None:
    """Once, whatever the number of processes: version and limits of the machine, at debug the configuration, too."""
    with ZotServer(tmp_path, log={"level": level}, arguments=("--workers", workers)) as server:
        wait_for(lambda: bool(logged(server, "runtime params")))
    (limits,) = logged(server, "runtime params")
    assert len(logged(server, f"zot {__version__} starts")) == len(logged(server, "zot stops")) == 1
    settings = [line["params"]["storage"]["rootDirectory"] for line in logged(server, "configuration settings")]
    assert settings == ([str(server.root)] if level == "debug" else [])
    assert limits["cpus"] == os.cpu_count()
    assert {"max. open files", "listen backlog", "max. inotify watches"} <= set(limits)


@pytest.mark.parametrize(("of_sub_path", "syncs"), [({}, True), ({"commit": False}, False)])
def test_the_catalog_is_as_durable_as_its_most_durable_store(of_sub_path: dict[str, Any], syncs: bool) -> None:
    """What a sub-path acknowledges stands in the catalog of all, which a main store without syncs must not weaken."""
    tree = {"rootDirectory": "/a", "commit": False, "subPaths": {"/b": {"rootDirectory": "/b", **of_sub_path}}}
    plan = make_plan(load_tree({"storage": tree}).config, None, workers=0, read_only=False)
    assert plan.syncs is syncs


def test_what_a_server_keeps_is_its_own(server: ZotServer) -> None:
    """Names of repositories are in the catalog and in logs: others on the machine see none.

    The directory of the catalog may be open to all users; what is made in it is private by itself.
    """
    made = [path for path in (server.root / ".zot").iterdir() if path.name not in {"control", "writer.sock"}]
    assert "catalog.db" in {path.name for path in made}
    assert {path.name for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077} == set()


def test_a_start_imports_little_before_it_listens() -> None:
    """What is in no process, in the jobs process alone, or needed after listening, is not imported to get there."""
    program = (
        "import sys, zot.cli.main, zot.cli.serve, zot.processes.start;"
        "from zot.config.load import load_tree; load_tree({'storage': {'rootDirectory': '.'}});"
        "late = ('aiohttp', 'ctypes', 'zot.server.store', 'joserfc', 'cryptography', 'passlib');"
        "assert not [name for name in late if name in sys.modules], sys.modules.keys();"
        "from zot.processes import roles, supervisor;"
        "late = ('zot.server.background', 'ctypes', 'prometheus_client', 'joserfc', 'cryptography', 'passlib');"
        "assert not [name for name in late if name in sys.modules], sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_authorities_that_the_environment_names_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are put aside while aiohttp is imported, and no longer."""
    for given in ("/etc/some.pem", None):
        if given is None:
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        else:
            monkeypatch.setenv("SSL_CERT_FILE", given)
        start.import_aiohttp()
        assert os.environ.get("SSL_CERT_FILE") == given


def test_background_work_starts_after_the_processes_that_answer(server: ZotServer) -> None:
    """Its imports take no processor from the first answers."""
    started = {name: _started_ticks(pid) for name, pid in server.processes().items()}
    workers = [ticks for name, ticks in started.items() if name.startswith("worker-")]
    assert len(workers) == 2
    assert started["jobs"] >= max(workers)


def _started_ticks(pid: int) -> int:
    """Return when a process was forked, in the kernel's ticks since the machine was booted."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
