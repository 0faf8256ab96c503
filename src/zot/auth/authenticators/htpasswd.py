"""Users in a file of `name:hash` lines."""

from __future__ import annotations

import asyncio
import hashlib
import logging
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
    """The users of an htpasswd file; a change of the file ends what is remembered of it."""

    method = "htpasswd"
    revocable = True

    def __init__(self, path: Path, pool: ThreadPool, files: ThreadPool, *, hides_names: bool = True) -> None:
        """Take the file, the pool in which passwords are hashed, and that in which files are read; none is yet.

        With `hides_names` a name that is not in the file takes as long to refuse as one that is.
        """
        self._path = path
        self._file = CachedFile(path, parse, files)
        self._pool = pool
        self._hides_names = hides_names
        self._remembered = PasswordCache()
        self._known = HtpasswdFile({}, ())
        self._under_way: dict[tuple[Login, str], asyncio.Task[bool]] = {}

    async def known(self, sent: str) -> Principal | None:
        """Return who sent this if it was verified lately and the file has not changed since."""
        if self._file.fresh() is not self._known:
            try:
                await self._refresh()
            except Unavailable:
                return None
        return self._remembered.find(sent)

    async def verify(self, login: Login) -> Principal | None:
        """Return who that is, None if the name is not in the file or the password is wrong.

        Raises Unavailable if the file cannot be read, or if too many logins are waiting.
        """
        file = await self._refresh()
        users = file.users
        known = self._remembered.find(login.sent)
        if known is not None:
            return known
        hashed = users.get(login.name)
        if hashed is None:
            any_hash = next(filter(usable, users.values()), None) if self._hides_names else None
            if any_hash is not None:
                await self._check(login, any_hash)
            return None
        if not await self._check(login, hashed):
            return None
        principal = Principal(login.name, self.method)
        if file is self._known:
            self._remembered.remember(login.sent, principal)
        return principal

    async def standing(self, name: str) -> str | None:
        """See `KnowsUsers`: a digest of the user's hash."""
        hashed = (await self._refresh()).users.get(name)
        if hashed is None or not usable(hashed):
            return None
        return hashlib.blake2b(hashed.encode(), digest_size=16).hexdigest()

    async def _refresh(self) -> HtpasswdFile:
        file = await self._file.content()
        if file is not self._known:
            self._known = file
            self._remembered.forget()
            for fault in file.faults[:_FAULTS_SHOWN]:
                _log.warning("htpasswd: %s: %s", self._path, fault)
            if len(file.faults) > _FAULTS_SHOWN:
                _log.warning("htpasswd: %s: %d more lines are wrong", self._path, len(file.faults) - _FAULTS_SHOWN)
        return file

    async def _check(self, login: Login, hashed: str) -> bool:
        # A client opens several connections at once: they wait for one hash together.
        key = (login, hashed)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._pool.run(verify, login.password, hashed))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        try:
            return await asyncio.shield(task)
        except ThreadPoolBusyError as error:
            raise Unavailable("too many logins are waiting", retry_after_s=1) from error

    def _finished(self, key: tuple[Login, str], task: asyncio.Task[bool]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever waited may be gone
