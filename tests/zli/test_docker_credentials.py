"""Credentials that other programs stored: which are found, and to whom they are sent."""

import json
from base64 import b64encode
from pathlib import Path

import click
import pytest

from zli.conftest import Zli
from zli.recorded_zot import RecordedZot
from zot.zli.docker_credentials import docker_credentials
from zot.zli.target import target

HOST = "registry.example.org:5000"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty configuration folder of Docker's, and a folder for programs at the start of the path."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def stored(folder: Path, **config: object) -> None:
    """Write Docker's configuration."""
    (folder / "config.json").write_text(json.dumps(config))


def helper(folder: Path, name: str, script: str) -> None:
    """Install a credential helper."""
    path = folder / "bin" / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def encoded(text: str) -> dict[str, str]:
    """Return an entry as `docker login` writes it."""
    return {"auth": b64encode(text.encode()).decode()}


@pytest.mark.parametrize("server", [HOST, f"https://{HOST}", f"https://{HOST}/v1/"])
def test_what_login_stored_is_found(folder: Path, server: str) -> None:
    """By the host with its port, in the spellings of older programs too; a password may have colons."""
    stored(folder, auths={"other": encoded("x:y"), server: encoded("alice:wönder:land")})
    assert docker_credentials(HOST) == "alice:wönder:land"
    assert docker_credentials("registry.example.org") is None


def test_nothing_stored_is_no_credentials(folder: Path) -> None:
    """No file, no entry, an empty entry."""
    assert docker_credentials(HOST) is None
    configs: list[dict[str, object]] = [{}, {"auths": {}}, {"auths": {HOST: {}}}, {"auths": None, "credHelpers": []}]
    for config in configs:
        stored(folder, **config)
        assert docker_credentials(HOST) is None


def test_a_helper_is_asked(folder: Path) -> None:
    """The one for the host before the one for all, and either before the file."""
    helper(folder, "all", 'read -r host; echo "{\\"Username\\": \\"all\\", \\"Secret\\": \\"$host\\"}"')
    helper(
        folder, "one", 'test "$1" = get; read -r host; echo "{\\"Username\\": \\"one\\", \\"Secret\\": \\"$host\\"}"'
    )
    stored(folder, auths={HOST: encoded("a:b")}, credsStore="all", credHelpers={HOST: "one"})
    assert docker_credentials(HOST) == f"one:{HOST}"
    assert docker_credentials("other") == "all:other"


def test_a_helper_without_credentials_has_none(folder: Path) -> None:
    """It says so, and fails."""
    helper(folder, "none", "echo credentials not found in native keychain; exit 1")
    stored(folder, credsStore="none")
    assert docker_credentials(HOST) is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "it is not installed"),
        ("echo locked; exit 1", "locked"),
        ("exit 7", "exit status 7"),
        ("echo '{}'", "its answer has no Username and Secret"),
        ("echo no JSON", "its answer has no Username and Secret"),
        ("echo '[]'", "its answer has no Username and Secret"),
    ],
)
def test_a_helper_that_fails_is_an_error(folder: Path, script: str | None, reason: str) -> None:
    """Not a request without credentials, whose answer would be hard to understand."""
    if script is not None:
        helper(folder, "bad", script)
    stored(folder, credsStore="bad")
    with pytest.raises(click.ClickException, match=f"docker-credential-bad failed: {reason}; give credentials with"):
        docker_credentials(HOST)


def test_a_helper_is_a_program_in_the_path(folder: Path) -> None:
    """No path and no option can be made of its name."""
    stored(folder, credsStore="../x y")
    with pytest.raises(click.ClickException, match="is not the name of a credential helper"):
        docker_credentials(HOST)


@pytest.mark.parametrize(
    "content", ["{", "[]", *(json.dumps({"auths": {HOST: {"auth": each}}}) for each in ("?", "YQ=="))]
)
def test_a_broken_file_is_an_error(folder: Path, content: str) -> None:
    """Which names the file, and says what to do."""
    (folder / "config.json").write_text(content)
    with pytest.raises(
        click.ClickException, match=f"invalid Docker configuration: {folder}.*give credentials with --user"
    ):
        docker_credentials(HOST)


@pytest.mark.parametrize(
    ("url", "verify", "sent"),
    [
        ("https://registry.example.org", True, True),
        ("https://registry.example.org", False, False),
        ("http://registry.example.org", True, False),
        ("http://127.0.0.1:5000", True, True),
        ("http://localhost:5000", True, True),
        ("http://[::1]:5000", True, True),
    ],
)
def test_stored_credentials_are_sent_where_nobody_else_reads_them(
    folder: Path, zli: Zli, monkeypatch: pytest.MonkeyPatch, url: str, verify: bool, sent: bool
) -> None:
    """Over verified TLS, or to this machine; those of --user to wherever the user says."""
    monkeypatch.setenv("HOME", str(zli.home))
    stored(folder, auths={url.partition("//")[2]: encoded("alice:stored")})
    zli("config", "add", "main", url)
    zli("config", "set", "main", "verify-tls", str(verify).lower())
    assert target(None, "main", None).credentials == ("alice:stored" if sent else None)
    assert target(None, "main", "bob:typed").credentials == "bob:typed"
    assert target(None, "main", "").credentials is None


def test_a_command_uses_what_is_stored(zli: Zli, zot: RecordedZot, folder: Path) -> None:
    """And with `--user ""` it does not."""
    words = ("image", "name", "library/debian:12", "--url", zot.url)
    stored(folder, auths={zot.url.removeprefix("http://"): encoded("admin:wrong")})
    assert "unauthorized access. check credentials" in zli.refused(*words)
    assert zli(*words, "-u", "").startswith("REPOSITORY")
    assert zli(*words, "-u", "admin:admin").startswith("REPOSITORY")
    stored(folder, auths={zot.url.removeprefix("http://"): encoded("admin:admin")})
    assert zli(*words).startswith("REPOSITORY")
