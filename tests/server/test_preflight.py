"""`zot verify` refuses what `zot serve` refuses, in the same words, and changes nothing."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from certificates import Authority
from http_client import wait_for
from servers.process import free_port
from servers.zot import ZOT, ZotServer
from zot.config.load import load_tree
from zot.server.plan import make_plan
from zot.server.preflight import preflight

Tree = dict[str, Any]
Run = Callable[[str, Tree], subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command of `zot` on a configuration, without a terminal and as it would be by a unit of systemd."""

    def run_command(command: str, tree: Tree) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "data")}} | tree))
        return subprocess.run(
            [ZOT, command, file], capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
        )

    return run_command


def encrypted(key: Path) -> Path:
    """Return a copy of a key that needs a password."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    target = key.with_name("encrypted.key")
    target.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return target


def refused(run: Run, tree: Tree) -> str:
    """Return what `verify` and `serve` say of a configuration that both refuse."""
    verified, served = run("verify", tree), run("serve", tree)
    assert (verified.returncode, served.returncode) == (1, 1)
    assert verified.stderr == served.stderr
    assert "Traceback" not in verified.stderr
    return verified.stderr


@pytest.mark.parametrize(
    ("cert", "key", "why"),
    [
        ("missing.pem", "server.key", "http.tls.cert {folder}/missing.pem: No such file or directory"),
        ("server.pem", "missing.key", "http.tls.key {folder}/missing.key: No such file or directory"),
        ("server.key", "server.key", "http.tls.cert {folder}/server.key: should be a certificate in PEM form"),
        ("server.pem", "server.pem", "http.tls.key {folder}/server.pem: should be a private key in PEM form"),
        (
            "server.pem",
            "other.key",
            "http.tls.key {folder}/other.key: is not the key of the certificate {folder}/server.pem",
        ),
        (
            "server.pem",
            "encrypted.key",
            "http.tls.key {folder}/encrypted.key: is encrypted; it should be a key without a password",
        ),
    ],
)
def test_certificates_that_cannot_be_served_are_refused(
    run: Run, tmp_path: Path, cert: str, key: str, why: str
) -> None:
    """Missing, of another form, of two pairs, or with a password, for which no command asks."""
    authority = Authority(tmp_path)
    authority.issue("other", hosts=["127.0.0.1"])
    encrypted(authority.issue("server", hosts=["127.0.0.1"])[1])
    tls = {"cert": str(tmp_path / cert), "key": str(tmp_path / key)}
    said = refused(run, {"http": {"port": "0", "tls": tls}})
    assert said == f"Error: {tmp_path / 'config.json'}: {why.format(folder=tmp_path)}\n"


def test_authorities_that_are_none_are_refused(run: Run, tmp_path: Path) -> None:
    """The file of the authorities of clients' certificates is opened, too."""
    cert, key = Authority(tmp_path).issue("server", hosts=["127.0.0.1"])
    for content, why in (("nothing", "should be certificates in PEM form"), (None, "No such file or directory")):
        file = tmp_path / "authorities.pem"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(content)
        tls = {"cert": str(cert), "key": str(key), "cacert": str(file)}
        said = refused(run, {"http": {"port": "0", "tls": tls}})
        assert f"http.tls.cacert {file}: {why}" in said


def test_an_expired_certificate_is_warned_about(run: Run, tmp_path: Path) -> None:
    """It can be served, and clients will refuse it."""
    cert, key = Authority(tmp_path).issue("server", hosts=["127.0.0.1"], days=-1)
    said = run("verify", {"http": {"port": "0", "tls": {"cert": str(cert), "key": str(key)}}})
    assert said.returncode == 0
    assert said.stderr.startswith("Warning: http.tls.cert: the certificate expired at ")


@pytest.mark.parametrize("key", ["output", "audit"])
def test_logs_that_cannot_be_written_are_refused(run: Run, tmp_path: Path, key: str) -> None:
    """In a directory that is missing, in a file, or a directory itself."""
    (tmp_path / "file").write_text("")
    for path, why in (
        (tmp_path / "missing" / "zot.log", "No such file or directory"),
        (tmp_path / "file" / "zot.log", "Not a directory"),
        (tmp_path, "Is a directory"),
    ):
        said = refused(run, {"http": {"port": "0"}, "log": {key: str(path)}})
        assert said == f"Error: {tmp_path / 'config.json'}: log.{key} {str(path)!r}: {why}\n"


def test_a_directory_below_a_file_is_refused(run: Run, tmp_path: Path) -> None:
    """Of the store, of a sub-path and of the catalog."""
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "data")
    root = {"rootDirectory": str(tmp_path / "data")}
    for storage in (
        {"rootDirectory": below},
        root | {"subPaths": {"/a": {"rootDirectory": below}}},
        root | {"catalog": {"directory": below}},
    ):
        said = refused(run, {"http": {"port": "0"}, "storage": storage})
        assert f"{below}: {tmp_path / 'file'} is not a directory" in said


def test_what_lies_in_the_way_is_refused(run: Run, tmp_path: Path) -> None:
    """A directory where a file of the server has to be."""
    in_the_way = tmp_path / "data" / ".zot" / "activity.db"
    in_the_way.mkdir(parents=True)
    assert f"{in_the_way} is a directory" in refused(run, {"http": {"port": "0"}})


@pytest.mark.parametrize("address", ["192.0.2.1", "no such host.invalid", "[::1"])
def test_addresses_that_are_not_ours_are_refused(run: Run, address: str) -> None:
    """Of another machine, or none."""
    for command in ("verify", "serve"):
        done = run(command, {"http": {"port": "0", "address": address}})
        assert done.returncode == 1
        assert f"http.address {address!r}, http.port 0: " in done.stderr


def test_a_unix_socket_that_cannot_be_made_is_refused(run: Run, tmp_path: Path) -> None:
    """In a directory that is missing, or where a file is."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing" / "zot.sock", tmp_path / "file"):
        for command in ("verify", "serve"):
            done = run(command, {"http": {"unixSocket": str(path)}})
            assert done.returncode == 1
            assert f"http.unixSocket {str(path)!r}: " in done.stderr


def test_redis_that_cannot_be_reached_is_refused(run: Run, tmp_path: Path) -> None:
    """Sessions would be kept nowhere: `verify` asks the server, as the start does."""
    (tmp_path / "htpasswd").write_text("alice:$2y$05$SZa/rM6y9lh/hIF5.b4qoev6XEBkpM2hHtRTjpP.RcHkGqjfQ1L12\n")
    driver = {"name": "redis", "url": f"redis://127.0.0.1:{free_port()}?max_retries=0"}
    auth = {"htpasswd": {"path": str(tmp_path / "htpasswd")}, "sessionDriver": driver}
    assert "http.auth.sessionDriver: the session store cannot be reached" in refused(
        run, {"http": {"port": "0", "auth": auth}}
    )


def test_a_missing_extra_is_refused(tmp_path: Path) -> None:
    """Without the library for Redis, `verify` says what to install."""
    (tmp_path / "htpasswd").write_text("alice:$2y$05$SZa/rM6y9lh/hIF5.b4qoev6XEBkpM2hHtRTjpP.RcHkGqjfQ1L12\n")
    auth = {
        "htpasswd": {"path": str(tmp_path / "htpasswd")},
        "sessionDriver": {"name": "redis", "url": "redis://127.0.0.1"},
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path)}, "http": {"port": "0", "auth": auth}}))
    without = "import sys; sys.modules['redis'] = None; from zot.cli.main import main; main()"
    for command in ("verify", "serve"):
        done = subprocess.run(
            [sys.executable, "-c", without, command, file], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert "pip install 'zot-registry[redis]'" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_port_in_use_is_warned_about(run: Run) -> None:
    """It may be free when the server starts: the configuration is good."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("verify", {"http": {"port": str(port)}})
    assert done.returncode == 0
    assert done.stderr == f"Warning: http.port: {port} is in use now, and would be refused\n"


def test_the_configuration_of_a_running_server_is_good(server: ZotServer) -> None:
    """Its port is its own, its files are as they were, and it goes on."""
    wait_for(lambda: "zot serves" in server.output() and (server.root / ".zot" / "control").exists())
    before = {path: path.stat().st_ino for path in (server.root / ".zot").iterdir()}
    done = subprocess.run([ZOT, "verify", server.config], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: path.stat().st_ino for path in (server.root / ".zot").iterdir()} == before
    assert server.client.get("/v2/").status == 200


def test_nothing_is_made(run: Run, tmp_path: Path) -> None:
    """Neither the directory, nor the log, nor the socket."""
    tree = {"http": {"unixSocket": str(tmp_path / "zot.sock")}, "log": {"output": str(tmp_path / "zot.log")}}
    assert run("verify", tree).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"config.json"}


def test_files_of_another_user_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a command of root left in a store are named, with the line that gives them back."""
    left = tmp_path / ".zot" / "catalog.db"
    left.parent.mkdir()
    left.touch()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != left and access(path, mode))
    config = load_tree({"storage": {"rootDirectory": str(tmp_path)}}).config
    (problem,) = preflight(config, make_plan(config, None, workers=0, read_only=False))
    owner = tmp_path.owner()
    assert str(problem) == (
        f"Permission denied: {left} belongs to {owner}, this is {owner} (chown -R {owner} {left.parent})"
    )
