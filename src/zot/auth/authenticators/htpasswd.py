"""Users in a file of `name:hash` lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from zot.auth.credentials import Login
from zot.auth.password_hashes import usable, verify
from zot.auth.principal import Principal
from zot.auth.remembered import Remembered
from zot.auth.watched import WatchedFile
from zot.registry.errors import Unavailable
from zot.storage.interface import StorageBusy
from zot.storage.pools import Pool

_log = logging.getLogger("zot.auth")


class Htpasswd:
    """The users of an htpasswd file; a change of the file ends what is remembered of it."""

    method = "htpasswd"

    def __init__(self, path: Path, pool: Pool, files: Pool, *, hides_names: bool = True) -> None:
        """Take the file, the pool in which passwords are hashed, and that in which files are read; none is yet.

        With `hides_names` a name that is not in the file takes as long to refuse as one that is.
        """
        self._file = WatchedFile(path, parse, files)
        self._pool = pool
        self._hides_names = hides_names
        self._remembered = Remembered()
        self._users: Mapping[str, str] = {}
        self._under_way: dict[tuple[Login, str], asyncio.Task[bool]] = {}

    async def known(self, sent: str) -> Principal | None:
        """Return who sent this if it was verified lately and the file has not changed since."""
        if self._file.fresh() is not self._users:
            try:
                await self._refresh()
            except Unavailable:
                return None
        return self._remembered.find(sent)

    async def verify(self, login: Login) -> Principal | None:
        """Return who that is, None if the name is not in the file or the password is wrong.

        Raises Unavailable if the file cannot be read, or if too many logins are waiting.
        """
        users = await self._refresh()
        known = self._remembered.find(login.sent)
        if known is not None:
            return known
        hashed = users.get(login.name)
        if hashed is None:
            if self._hides_names and users:
                await self._check(login, next(iter(users.values())))
            return None
        if not await self._check(login, hashed):
            return None
        principal = Principal(login.name, self.method)
        if users is self._users:
            self._remembered.remember(login.sent, principal)
        return principal

    async def _refresh(self) -> Mapping[str, str]:
        users = await self._file.content()
        if users is not self._users:
            self._users = users
            self._remembered.forget()
        return users

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
        except StorageBusy as error:
            raise Unavailable("too many logins are waiting", retry_after_s=1) from error

    def _finished(self, key: tuple[Login, str], task: asyncio.Task[bool]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever waited may be gone


def parse(content: bytes) -> dict[str, str]:
    """Return the hashes by name; of lines with the same name the last holds. Raises ValueError if it is no text."""
    users: dict[str, str] = {}
    for line in content.decode().splitlines():
        name, colon, hashed = line.strip().partition(":")
        if colon and name and not name.startswith("#"):
            users[name] = hashed
    for name, hashed in users.items():
        if not usable(hashed):
            _log.warning(
                "htpasswd: %s cannot log in: its hash is not bcrypt or sha-crypt, or costs too much",
                name,
            )
    return users
