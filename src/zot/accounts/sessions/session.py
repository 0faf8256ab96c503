"""Sessions and pending logins, on top of a session store."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec

from zot.accounts.sessions.interface import SessionStore

LIFETIME_S = 7200
"""The lifetime of a session after its login; use does not extend it."""

PENDING_LIFETIME_S = 600
"""How long a user may take to log in at a provider."""


class Session(msgspec.Struct, frozen=True, tag="session", omit_defaults=True):
    """The session of a user, with its groups, so that every replica knows them."""

    user: str
    method: str
    created_s: float
    groups: tuple[str, ...] = ()
    provider: str = ""
    """The OpenID provider to log out from."""
    login_fingerprint: str = msgspec.field(default="", name="standing")
    """Changes with the password (see `zot.auth.login_validity`); empty: the method cannot tell."""


class PendingLogin(msgspec.Struct, frozen=True, tag="login", omit_defaults=True):
    """A login that waits for the callback of a provider. It can be finished once."""

    provider: str
    state: str
    nonce: str
    verifier: str
    """The secret of PKCE (RFC 7636)."""
    redirect_uri: str
    callback_ui: str = ""
    """The URL to redirect the browser to afterwards; empty: no redirect."""


class ListedSession(msgspec.Struct, frozen=True):
    """A session as an administrator sees it."""

    fingerprint: str
    """A name for the session, derived from its id; it gives no access."""
    session: Session


T = TypeVar("T", Session, PendingLogin)


class Sessions:
    """Sessions and pending logins. Every method raises SessionsUnavailableError if the store cannot be reached."""

    def __init__(self, store: SessionStore) -> None:
        """Use the store, which the caller closes."""
        self._store = store

    async def start(self, session: Session, old_id: str = "") -> str:
        """Begin a session and return its new id; end the session `old_id`."""
        session_id = await self._put(session, LIFETIME_S)
        if old_id:
            await self._store.delete(old_id)
        return session_id

    async def find(self, session_id: str) -> Session | None:
        """Return the session, None if it is unknown or has expired."""
        return _decoded(await self._store.get(session_id), Session)

    async def end(self, session_id: str) -> Session | None:
        """End the session and return it; None if there was none."""
        session = await self.find(session_id)
        await self._store.delete(session_id)
        return session

    async def begin_login(self, login: PendingLogin) -> str:
        """Store a pending login and return its id."""
        return await self._put(login, PENDING_LIFETIME_S)

    async def finish_login(self, login_id: str) -> PendingLogin | None:
        """Return and delete the pending login; None if there is none. Of concurrent calls one returns it."""
        login = _decoded(await self._store.get(login_id), PendingLogin)
        return login if login is not None and await self._store.delete(login_id) else None

    async def all(self) -> AsyncIterator[ListedSession]:
        """Return all sessions."""
        async for session_id in self._store.ids():
            session = await self.find(session_id)
            if session is not None:
                yield ListedSession(fingerprint_of(session_id), session)

    async def revoke(self, *, user: str = "", fingerprint: str = "") -> int:
        """End the sessions of a user, or the one with this fingerprint; with both that one if it is the user's.

        Returns how many were ended.
        """
        ended = 0
        if not (user or fingerprint):
            return ended
        async for session_id in self._store.ids():
            session = await self.find(session_id)
            if session is None or (user and session.user != user):
                continue
            if not fingerprint or fingerprint_of(session_id) == fingerprint:
                ended += await self._store.delete(session_id)
        return ended

    async def secret(self) -> bytes:
        """Return the secret key of the store (see `SessionStore`)."""
        return await self._store.secret()

    async def sweep(self) -> None:
        """Delete expired sessions."""
        await self._store.sweep()

    async def _put(self, value: Session | PendingLogin, lifetime_s: int) -> str:
        session_id = self._store.new_id()
        await self._store.put(session_id, msgspec.json.encode(value), lifetime_s)
        return session_id


def _decoded(value: bytes | None, kind: type[T]) -> T | None:
    """Return the stored session or login; None if the value is of another program or of the other kind."""
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=kind)
    except (ValueError, RecursionError):
        return None


def fingerprint_of(session_id: str) -> str:
    """Return the name of a session, derived from its id; it gives no access."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:16]
