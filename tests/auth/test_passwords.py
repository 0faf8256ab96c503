"""Logins by htpasswd: which hashes, how the file is followed, what is remembered."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from passlib.hash import sha256_crypt, sha512_crypt

from auth.harness import entered
from zot.auth import cached_file
from zot.auth.authenticators import htpasswd as htpasswd_module
from zot.auth.authenticators.htpasswd import HtpasswdAuthenticator
from zot.auth.credentials import Authorization, login
from zot.auth.password_cache import LIFETIME_S, PasswordCache
from zot.auth.password_hashes import usable, verify
from zot.auth.principal import Principal
from zot.foundation.threads import ThreadPool
from zot.registry.errors import Unauthorized, Unavailable

ALICE = entered("alice", "alice-secret")


def bcrypted(password: str) -> str:
    """Hash as htpasswd -B does, at the lowest cost."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def write(path: Path, text: str) -> None:
    """Replace the content of a file."""
    path.write_text(text)


def move(path: Path, target: Path) -> None:
    """Rename a file."""
    path.rename(target)


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Give the threads that hash."""
    pool = ThreadPool("passwords", 2, 64)
    yield pool
    pool.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a file with alice in it."""
    path = tmp_path / "htpasswd"
    path.write_text(f"# people\n\nalice:{bcrypted(ALICE.password)}\n")
    return path


@pytest.mark.parametrize(
    "hashed",
    [
        bcrypted("secret"),
        bcrypted("secret").replace("$2b$", "$2y$"),
        bcrypted("secret").replace("$2b$", "$2a$"),
        sha256_crypt.using(rounds=1000).hash("secret"),
        sha512_crypt.using(rounds=1000).hash("secret"),
    ],
    ids=["2b", "2y", "2a", "sha256-crypt", "sha512-crypt"],
)
def test_the_hashes_of_htpasswd_are_verified(hashed: str) -> None:
    """Each kind says yes to the password and no to any other."""
    assert usable(hashed)
    assert verify("secret", hashed)
    assert not verify("Secret", hashed)
    assert not verify("", hashed)
    assert not verify("secret\0", hashed)


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "secret",
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "$apr1$abcdefgh$xxxxxxxxxxxxxxxxxxxxx/",
        "$2b$31$" + "a" * 53,  # a day of one processor
        "$2b$04$short",
        "$5$rounds=999999999$saltsalt$" + "a" * 43,
        "$6$rounds=1000$saltsalt$short",
        "$6$",
        "$y$j9T$abc$def",
    ],
)
def test_other_hashes_never_match(hashed: str) -> None:
    """What is unknown, malformed or too costly says no, at once."""
    assert not usable(hashed)
    assert not verify("secret", hashed)
    assert not verify(hashed, hashed)


def test_bcrypt_looks_at_72_bytes() -> None:
    """A longer password is cut, as zot and Apache cut it, and is no error."""
    hashed = bcrypted("x" * 72)
    assert verify("x" * 72 + "more", hashed)
    assert not verify("x" * 71, hashed)


async def test_the_right_password_and_no_other(path: Path, pool: ThreadPool) -> None:
    """Also not for a name that is not in the file."""
    htpasswd = HtpasswdAuthenticator(path, pool, pool)
    assert await htpasswd.verify(ALICE) == Principal("alice", "htpasswd")
    assert await htpasswd.verify(entered("alice", "wrong")) is None
    assert await htpasswd.verify(entered("bob", ALICE.password)) is None
    assert await htpasswd.verify(entered("Alice", ALICE.password)) is None


async def test_a_changed_file_ends_what_is_remembered(
    path: Path, pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password is refused from the next look at the file on, and the new one taken."""
    monkeypatch.setattr(cached_file, "CHECK_INTERVAL_S", 0.0)
    htpasswd = HtpasswdAuthenticator(path, pool, pool)
    assert await htpasswd.verify(ALICE)
    assert await htpasswd.cached(ALICE.encoded)
    write(path, f"alice:{bcrypted('new')}\n")
    assert await htpasswd.cached(ALICE.encoded) is None
    assert await htpasswd.verify(ALICE) is None
    assert await htpasswd.verify(entered("alice", "new"))
    write(path, "")
    assert await htpasswd.verify(entered("alice", "new")) is None


async def test_a_swapped_link_is_a_changed_file(
    tmp_path: Path, pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes changes a secret by pointing a link at another directory."""
    monkeypatch.setattr(cached_file, "CHECK_INTERVAL_S", 0.0)
    for version, password in (("1", "one"), ("2", "two")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "htpasswd").write_text(f"alice:{bcrypted(password)}\n")
    (tmp_path / "data").symlink_to("1")
    (tmp_path / "htpasswd").symlink_to("data/htpasswd")
    htpasswd = HtpasswdAuthenticator(tmp_path / "htpasswd", pool, pool)
    assert await htpasswd.verify(entered("alice", "one"))
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").replace(tmp_path / "data")
    assert await htpasswd.verify(entered("alice", "one")) is None
    assert await htpasswd.verify(entered("alice", "two"))


async def test_a_file_that_is_not_there_is_no_wrong_password(
    path: Path, tmp_path: Path, pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is let in meanwhile, nobody is told that their password is wrong, and it heals."""
    monkeypatch.setattr(cached_file, "CHECK_INTERVAL_S", 0.0)
    htpasswd = HtpasswdAuthenticator(path, pool, pool)
    assert await htpasswd.verify(ALICE)
    away = tmp_path / "away"
    move(path, away)
    assert await htpasswd.cached(ALICE.encoded) is None
    with pytest.raises(Unavailable):
        await htpasswd.verify(ALICE)
    move(away, path)
    assert await htpasswd.verify(ALICE)


async def test_many_connections_of_one_client_cost_one_hash(
    path: Path, pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that come at once wait for the same answer; those that come later find it."""
    hashed = []

    def counting(password: str, against: str) -> bool:
        hashed.append(password)
        return verify(password, against)

    monkeypatch.setattr(htpasswd_module, "verify", counting)
    htpasswd = HtpasswdAuthenticator(path, pool, pool)
    assert all(await asyncio.gather(*(htpasswd.verify(ALICE) for _ in range(20))))
    assert await htpasswd.verify(ALICE)
    assert len(hashed) == 1
    assert not any(await asyncio.gather(*(htpasswd.verify(entered("alice", "wrong")) for _ in range(5))))
    assert len(hashed) == 2


async def test_a_name_that_is_not_there_costs_a_hash_too(
    path: Path, pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a refusal does not tell which names exist."""
    hashed = []

    def refusing(password: str, against: str) -> bool:
        hashed.append((password, against))
        return False

    monkeypatch.setattr(htpasswd_module, "verify", refusing)
    assert await HtpasswdAuthenticator(path, pool, pool).verify(entered("nobody", "x")) is None
    assert len(hashed) == 1


def test_what_is_remembered_is_bounded_in_time_and_holds_no_password() -> None:
    """After its time a login is verified anew, and the memory holds hashes alone."""
    now = 0.0
    remembered = PasswordCache(lambda: now)
    remembered.add(ALICE.encoded, Principal("alice", "htpasswd"))
    assert remembered.find(ALICE.encoded)
    assert remembered.find(f"{ALICE.encoded}2") is None
    assert ALICE.password.encode() not in b"".join(remembered._verified)
    now = LIFETIME_S
    assert remembered.find(ALICE.encoded) is None


@pytest.mark.parametrize(
    "value", ["", "!!!!", "YWxpY2U=", "OnBhc3N3b3Jk", "/////w==", "YWxp\nY2U6eA==", "AGE6Yg==", "YWxpY2U6eA"]
)
def test_malformed_basic_credentials_are_refused(value: str) -> None:
    """Not base64, no colon, no name, no text, a name with control characters: never somebody."""
    with pytest.raises(Unauthorized):
        login(Authorization("basic", value))


def test_a_login_never_shows_its_password() -> None:
    """Neither in a log nor in a traceback."""
    assert "alice-secret" not in repr(ALICE)
    assert "alice-secret" not in f"{ALICE}"
