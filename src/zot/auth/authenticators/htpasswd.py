"""Authenticates users of an htpasswd file."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from zot.auth.authenticators.htpasswd_file import HtpasswdFile, parse
from zot.auth.cached_file import CachedFile
from zot.auth.credentials import Login
from zot.auth.password_cache import PasswordCache
from zot.auth.password_hashes import usable, verify
from zot.auth.principal import Principal
from zot.foundation.threads import ThreadPool, ThreadPoolBusyError
from zot.registry.errors import Unavailable

_log = logging.getLogger("zot.auth")

_FAULTS_SHOWN = 20


class HtpasswdAuthenticator:
    """Authenticates users of an htpasswd file; a changed file is read again and clears the cache."""

    method = "htpasswd"
    revocable = True

    def __init__(self, path: Path, pool: ThreadPool, files: ThreadPool, *, hides_names: bool = True) -> None:
        """Keep the path; nothing is read yet. Passwords are hashed in `pool`, files are read in `files`.

        With `hides_names`, an unknown name takes as long to refuse as a known one.
        """
        self._path = path
        self._file = CachedFile(path, parse, files)
        self._pool = pool
        self._hides_names = hides_names
        self._cache = PasswordCache()
        self._current = HtpasswdFile({}, ())
        self._checks: dict[tuple[Login, str], asyncio.Task[bool]] = {}

    async def cached(self, encoded: str) -> Principal | None:
        """See `PasswordAuthenticator`: None once the file has changed."""
        if self._file.fresh() is not self._current:
            try:
                await self._refresh()
            except Unavailable:
                return None
        return self._cache.find(encoded)

    async def verify(self, login: Login) -> Principal | None:
        """Return the principal, None if the name is not in the file or the password is wrong.

        Raises Unavailable if the file cannot be read, or if too many logins are waiting.
        """
        file = await self._refresh()
        users = file.users
        cached = self._cache.find(login.encoded)
        if cached is not None:
            return cached
        hashed = users.get(login.name)
        if hashed is None:
            any_hash = next(filter(usable, users.values()), None) if self._hides_names else None
            if any_hash is not None:
                await self._check(login, any_hash)
            return None
        if not await self._check(login, hashed):
            return None
        principal = Principal(login.name, self.method)
        if file is self._current:
            self._cache.add(login.encoded, principal)
        return principal

    async def fingerprint(self, name: str) -> str | None:
        """See `UserSource`: a digest of the user's hash."""
        hashed = (await self._refresh()).users.get(name)
        if hashed is None or not usable(hashed):
            return None
        return hashlib.blake2b(hashed.encode(), digest_size=16).hexdigest()

    async def names(self) -> Sequence[str]:
        """Return the names of the file, sorted. Raises Unavailable if it cannot be read."""
        return sorted((await self._refresh()).users)

    async def _refresh(self) -> HtpasswdFile:
        file = await self._file.content()
        if file is not self._current:
            self._current = file
            self._cache.clear()
            for fault in file.faults[:_FAULTS_SHOWN]:
                _log.warning("htpasswd: %s: %s", self._path, fault)
            if len(file.faults) > _FAULTS_SHOWN:
                _log.warning("htpasswd: %s: %d more lines are invalid", self._path, len(file.faults) - _FAULTS_SHOWN)
        return file

    async def _check(self, login: Login, hashed: str) -> bool:
        # A client opens several connections at once: they share one computation of the hash.
        key = (login, hashed)
        task = self._checks.get(key)
        if task is None:
            task = asyncio.create_task(self._pool.run(verify, login.password, hashed))
            self._checks[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        try:
            return await asyncio.shield(task)
        except ThreadPoolBusyError as error:
            raise Unavailable("too many logins are waiting", retry_after_s=1) from error

    def _finished(self, key: tuple[Login, str], task: asyncio.Task[bool]) -> None:
        del self._checks[key]
        if not task.cancelled():
            task.exception()  # retrieved here: every client that waited may have disconnected
