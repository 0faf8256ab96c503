"""Sessions as files of one machine, as zot stores them: `<rootDirectory>/_sessions/session_<id>`.

A cookie is an id with a signature, so that a file name alone is no valid cookie. The signing key comes from
`sessionKeysFile`, or is generated once and stored in the directory: sessions survive a restart, and are valid in every
process of the server. With an encryption key the files are encrypted as well.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from zot.accounts.sessions.ids import LOCAL_BYTES, random_id, well_formed
from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.accounts.sessions.seal import SessionSeal
from zot.config.secret_files import SessionKeys
from zot.foundation.threads import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")

SWEEP_INTERVAL_S = 3600.0

_PREFIX = "session_"
_KEY_FILE = "key"
_KEY_BYTES = 64


class _StoredSession(msgspec.Struct, frozen=True, array_like=True):
    """The content of a session file."""

    expires_s: float
    value: bytes


class LocalSessions:
    """`SessionStore` in a directory."""

    def __init__(self, directory: Path, threads: ThreadPool, keys: SessionKeys | None = None) -> None:
        """Open the directory, and create it if it is missing.

        The configuration has checked the keys. Raises SessionsUnavailableError if the directory cannot be used.
        """
        self._directory = directory
        self._threads = threads
        self._swept_s = float("-inf")
        encryption_key = keys.encrypt_key if keys is not None else None
        signing_key = keys.hash_key if keys is not None else None
        self._encoder, self._decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_StoredSession)
        with _translated():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = signing_key.get_secret_value().encode() if signing_key else _stored_key(directory)
        self._seal = SessionSeal(key, encryption_key.get_secret_value().encode() if encryption_key else None)

    def new_id(self) -> str:
        """See `SessionStore`."""
        return self._seal.signed(random_id(LOCAL_BYTES))

    async def put(self, session_id: str, value: bytes, ttl_s: int) -> None:
        """See `SessionStore`."""
        path = self._path(session_id)
        if path is None:
            raise ValueError("the id is not of this store")
        expires_s = time.time() + ttl_s
        content = self._seal.encrypted(path.name, self._encoder.encode(_StoredSession(expires_s, value)))
        with _translated():
            await self._threads.run(_write, path, content, expires_s)
        if time.monotonic() - self._swept_s > SWEEP_INTERVAL_S:
            self._swept_s = time.monotonic()
            await self.sweep()

    async def get(self, session_id: str) -> bytes | None:
        """See `SessionStore`."""
        path = self._path(session_id)
        if path is None:
            return None
        with _translated():
            stored = await self._threads.run(self._read, path)
        return stored.value if stored is not None and time.time() < stored.expires_s else None

    async def delete(self, session_id: str) -> bool:
        """See `SessionStore`."""
        path = self._path(session_id)
        if path is None:
            return False
        with _translated():
            try:
                await self._threads.run(path.unlink)
            except FileNotFoundError:
                return False
        return True

    async def secret(self) -> bytes:
        """See `SessionStore`. Derived from the signing key, and changes with it."""
        return self._seal.secret()

    async def ids(self) -> AsyncIterator[str]:
        """See `SessionStore`."""
        with _translated():
            names = await self._threads.run(lambda: sorted(os.listdir(self._directory)))  # noqa: PTH208 - names alone
        for name in names:
            session = name.removeprefix(_PREFIX)
            if name.startswith(_PREFIX) and well_formed(session):
                yield self._seal.signed(session)

    async def sweep(self) -> None:
        """See `SessionStore`."""
        with _translated():
            await self._threads.run(self._sweep)

    async def close(self) -> None:
        """See `SessionStore`: there is nothing to close."""

    def _sweep(self) -> None:
        now_s = time.time()
        for entry in os.scandir(self._directory):
            if entry.name.startswith(_PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime <= now_s:
                        os.unlink(entry.path)  # noqa: PTH108 - an entry, not a path

    def _read(self, path: Path) -> _StoredSession | None:
        """Return the stored session; None if the file is missing or not readable with this key."""
        try:
            content = self._seal.decrypted(path.name, path.read_bytes())
            return self._decoder.decode(content) if content is not None else None
        except (FileNotFoundError, ValueError):
            # It was written by zot or with another key, or was deleted concurrently.
            return None

    def _path(self, session_id: str) -> Path | None:
        name = self._seal.name_of(session_id)
        return self._directory / f"{_PREFIX}{name}" if name is not None else None


def _write(path: Path, content: bytes, expires_s: float) -> None:
    """Write the file atomically but not durably: a power loss costs the user a login.

    Its modification time is its expiry, so that a sweep opens no files.
    """
    staged = path.with_name(f".{secrets.token_hex(8)}")
    try:
        with open(staged, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
        os.utime(staged, (expires_s, expires_s))
        staged.rename(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def _stored_key(directory: Path) -> bytes:
    """Return the signing key in the directory; create it if it is missing. Concurrent processes get the same."""
    path = directory / _KEY_FILE
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    staged = directory / f".{secrets.token_hex(8)}"
    _write(staged, secrets.token_bytes(_KEY_BYTES), time.time())
    # A link, unlike a rename, does not replace a key that another process created concurrently.
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(staged)
    staged.unlink()
    return path.read_bytes()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SessionsUnavailableError(f"the directory of sessions cannot be used: {error}") from error
