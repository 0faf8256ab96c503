"""The format of htpasswd files, and what becomes of a file that breaks it."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.harness import PEOPLE, basic, serving
from zot.auth.authenticators.htpasswd_file import parse
from zot.auth.check import check_files
from zot.config.auth import AuthConfig
from zot.config.errors import ConfigurationError
from zot.config.load import load_tree
from zot.processes.start import StartError, start

HASH = bcrypt.hashpw(PEOPLE["alice"].encode(), bcrypt.gensalt(4)).decode()
GOOD = f"alice:{HASH}\n".encode()

# Whatever some program takes for the end of a line, except the line feed.
BREAKS = ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"]


@given(st.binary(max_size=200))
def test_any_content_gives_users_or_an_error(content: bytes) -> None:
    """No content gives anything but names without colons, or a ValueError."""
    try:
        users = parse(content).users
    except ValueError:
        return
    assert all(name and ":" not in name for name in users)


@given(st.binary(max_size=60), st.sampled_from([b"#", b" #", b"\t#"]))
def test_nothing_in_a_comment_is_a_user(comment: bytes, start: bytes) -> None:
    """Only a line feed ends a comment."""
    assert parse(start + comment.replace(b"\n", b" ") + b"\n" + GOOD).users == {"alice": HASH}


@pytest.mark.parametrize("character", BREAKS)
def test_only_a_line_feed_ends_a_line(character: str) -> None:
    """A user who stands after another line break in a comment does not exist."""
    assert parse(f"# former{character}mallory:{HASH}\n".encode() + GOOD).users == {"alice": HASH}
    assert "mallory" not in parse(f"bob:{HASH}{character}mallory:{HASH}\n".encode()).users


@pytest.mark.parametrize(
    ("content", "users"),
    [
        (b"a:1\na:4\n", {"a": "4"}),
        (b"a:1:more\nb:2:\n", {"a": "1", "b": "2"}),
        (b"\xef\xbb\xbfa:1\n", {"a": "1"}),
        (b"a:1\r\nb:2\r\n", {"a": "1", "b": "2"}),
        (b"  a:1 \n\tb:2\t\n", {"a": "1", "b": "2"}),
        (b"a:1", {"a": "1"}),
        (b"", {}),
        ("jürgen:1\n".encode(), {"jürgen": "1"}),
    ],
    ids=["the last holds", "more fields", "byte order mark", "CRLF", "blanks", "no line feed", "empty", "UTF-8"],
)
def test_what_is_a_user(content: bytes, users: dict[str, str]) -> None:
    """As for Apache and zot."""
    assert parse(content).users == users


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"nonsense", "not of the form name:hash"),
        (f":{HASH}".encode(), "not of the form name:hash"),
        (f"j\xf6rg:{HASH}".encode("latin-1"), "not UTF-8"),
        (b"bob:\xff", "not UTF-8"),
        (f"bo\u2028b:{HASH}".encode(), "the name has characters that cannot be sent in a login"),
        (b"bob:plain", "bob cannot log in"),
    ],
    ids=["no colon", "no name", "Latin-1 in a name", "Latin-1 in a hash", "a line break in a name", "no hash"],
)
def test_a_bad_line_concerns_itself(line: bytes, fault: str) -> None:
    """The other users stay, and the fault names the line."""
    parsed = parse(b"# people\n" + line + b"\n" + GOOD)
    assert parsed.users["alice"] == HASH
    (found,) = parsed.faults
    assert found.startswith(f"line 2: {fault}")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_said_so(encoding: str) -> None:
    """A file that a Windows shell wrote is no file without users."""
    with pytest.raises(ValueError, match="UTF-16"):
        parse(("\ufeff" + GOOD.decode()).encode(encoding))


async def test_a_bad_line_keeps_no_other_user_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A comment in Latin-1 and a line that is none: alice logs in, and the log names the line once."""
    caplog.set_level(logging.WARNING)
    path = tmp_path / "htpasswd"
    path.write_bytes(b"# J\xf6rg\nnonsense\n" + GOOD)
    async with serving(tmp_path / "data", {"auth": {"htpasswd": {"path": str(path)}}}) as site:
        for _ in range(3):
            assert await site.status("/v2/", headers=basic("alice")) == 200
            assert await site.status("/v2/", headers=basic("bob")) == 401
    assert [each for each in caplog.messages if str(path) in each] == [
        f"htpasswd: {path}: line 2: not of the form name:hash"
    ]


def _directory(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _utf_16(path: Path) -> None:
    path.write_bytes(("\ufeff" + GOOD.decode()).encode("utf-16-le"))


def _absent(path: Path) -> None:
    assert not path.exists()


UNREADABLE = [_directory, _pipe, _utf_16, _absent]


@pytest.mark.parametrize("break_it", UNREADABLE)
async def test_a_login_that_cannot_be_checked_is_503_with_its_reason_once(
    break_it: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The file went bad beside a running server: no password is wrong, the log says why, and it heals."""
    path = tmp_path / "htpasswd"
    path.write_bytes(GOOD)
    async with serving(tmp_path / "data", {"auth": {"htpasswd": {"path": str(path)}}}) as site:
        path.unlink()
        break_it(path)
        for _ in range(3):
            assert await site.status("/v2/", headers=basic("alice")) == 503
        told = [each for each in caplog.messages if "503" in each]
        assert len(told) == 1
        assert str(path) in told[0]
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(GOOD)
        assert await site.status("/v2/", headers=basic("bob")) == 401
        assert await site.status("/v2/", headers=basic("alice")) == 200


@pytest.mark.parametrize("break_it", UNREADABLE)
def test_a_server_does_not_start_without_its_users(break_it: Callable[[Path], None], tmp_path: Path) -> None:
    """Neither start nor check accept a file of users that cannot be read; both name the key and the file."""
    path = tmp_path / "htpasswd"
    break_it(path)
    http = {"auth": {"htpasswd": {"path": str(path)}}, "port": "0"}
    config = load_tree({"storage": {"rootDirectory": str(tmp_path / "data")}, "http": http}).config
    with pytest.raises(ConfigurationError, match=r"http\.auth\.htpasswd\.path") as refused:
        check_files(config.http.auth)
    assert str(path) in str(refused.value)
    with pytest.raises(StartError, match=r"http\.auth\.htpasswd\.path"):
        start(config, None, workers=0, read_only=False)


def test_the_check_names_what_lets_no_user_in(tmp_path: Path) -> None:
    """Each bad line, and a file without any user."""
    path = tmp_path / "htpasswd"
    path.write_bytes(b"bob:plain\n")
    auth = AuthConfig.model_validate({"htpasswd": {"path": str(path)}})
    first, second = check_files(auth)
    assert "line 1: bob cannot log in" in str(first)
    assert "no user in this file can log in" in str(second)
