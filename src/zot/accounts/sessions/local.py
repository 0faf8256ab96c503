"""Sessions as files of one machine, as zot keeps them: `<rootDirectory>/_sessions/session_<id>`.

A cookie is the id with a signature, so that a file name alone opens nothing. The key of the signature comes from
`sessionKeysFile`, or is made once and kept in the directory: sessions outlive a restart, and are valid in every
process of the server. With an encryption key the files are encrypted as well.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zot.accounts.sessions.ids import LOCAL_BYTES, random_id, well_formed
from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.config.secret_files import SessionKeys

P = ParamSpec("P")
T = TypeVar("T")

SWEPT_EVERY_S = 3600.0

_PREFIX = "session_"
_KEY_FILE = "key"
_KEY_BYTES = 64
_NONCE_BYTES = 12


class SessionThreads(Protocol):
    """Where what waits for the disk runs."""

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the job in a thread."""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What a file holds."""

    expires_s: float
    value: bytes


class LocalSessions:
    """Sessions in a directory; the laws are those of `SessionStore`."""

    def __init__(self, directory: Path, threads: SessionThreads, keys: SessionKeys | None = None) -> None:
        """Use the directory, which is made if it is not there.

        The keys are checked with the configuration. Raises SessionsUnavailableError if the directory cannot be used.
        """
        self._directory = directory
        self._threads = threads
        self._swept_s = float("-inf")
        sealing = keys.encrypt_key if keys is not None else None
        signing = keys.hash_key if keys is not None else None
        self._cipher = AESGCM(sealing.get_secret_value().encode()) if sealing else None
        self._encoder, self._decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_Kept)
        with _translated():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._key = signing.get_secret_value().encode() if signing else _own_key(directory)

    def new_id(self) -> str:
        """See `SessionStore`."""
        name = random_id(LOCAL_BYTES)
        return f"{name}.{self._signature(name)}"

    async def put(self, session_id: str, value: bytes, ttl_s: int) -> None:
        """See `SessionStore`."""
        path = self._path(session_id)
        if path is None:
            raise ValueError("the id is not of this store")
        expires_s = time.time() + ttl_s
        content = self._encoder.encode(_Kept(expires_s, value))
        if self._cipher is not None:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            content = nonce + self._cipher.encrypt(nonce, content, path.name.encode())
        with _translated():
            await self._threads.run(_write, path, content, expires_s)
        if time.monotonic() - self._swept_s > SWEPT_EVERY_S:
            self._swept_s = time.monotonic()
            await self.sweep()

    async def get(self, session_id: str) -> bytes | None:
        """See `SessionStore`."""
        path = self._path(session_id)
        if path is None:
            return None
        with _translated():
            kept = await self._threads.run(self._read, path)
        return kept.value if kept is not None and time.time() < kept.expires_s else None

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
        """See `SessionStore`. It is derived from the key of the signatures, and changes with it."""
        return hmac.digest(self._key, b"secret", hashlib.sha256)

    async def ids(self) -> AsyncIterator[str]:
        """See `SessionStore`."""
        with _translated():
            names = await self._threads.run(lambda: sorted(os.listdir(self._directory)))  # noqa: PTH208 - names alone
        for name in names:
            found = name.removeprefix(_PREFIX)
            if name.startswith(_PREFIX) and well_formed(found):
                yield f"{found}.{self._signature(found)}"

    async def sweep(self) -> None:
        """See `SessionStore`."""
        with _translated():
            await self._threads.run(self._sweep)

    async def close(self) -> None:
        """Nothing is held."""

    def _sweep(self) -> None:
        now_s = time.time()
        for entry in os.scandir(self._directory):
            if entry.name.startswith(_PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime <= now_s:
                        os.unlink(entry.path)  # noqa: PTH108 - an entry, not a path

    def _read(self, path: Path) -> _Kept | None:
        """Return what the file holds; None if there is none, or if it is not ours to read."""
        try:
            content = path.read_bytes()
            if self._cipher is not None:
                nonce, sealed = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
                content = self._cipher.decrypt(nonce, sealed, path.name.encode())
            return self._decoder.decode(content)
        except (FileNotFoundError, InvalidTag, ValueError):
            # A session of zot's, of another key, or one that was deleted meanwhile.
            return None

    def _path(self, session_id: str) -> Path | None:
        name, _, signature = session_id.partition(".")
        if not well_formed(name) or not hmac.compare_digest(signature.encode(), self._signature(name).encode()):
            return None
        return self._directory / f"{_PREFIX}{name}"

    def _signature(self, name: str) -> str:
        digest = hmac.digest(self._key, name.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _write(path: Path, content: bytes, expires_s: float) -> None:
    """Write the file whole or not at all; it is not synced: what a power loss costs is a login.

    Its time of change is when it expires, so that a sweep has to open none.
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


def _own_key(directory: Path) -> bytes:
    """Return the key kept in the directory, made if there is none; two that start at once agree on one."""
    path = directory / _KEY_FILE
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    staged = directory / f".{secrets.token_hex(8)}"
    _write(staged, secrets.token_bytes(_KEY_BYTES), time.time())
    # A link, unlike a rename, does not replace the key that another process has made meanwhile.
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
