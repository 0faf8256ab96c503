"""Signed cookies and encrypted values of sessions, with the keys of `http.auth.sessionKeysFile`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from zot.accounts.sessions.ids import well_formed
from zot.accounts.sessions.interface import SessionStore
from zot.config.secret_files import SessionKeys
from zot.foundation.imports import LazyModule

if TYPE_CHECKING:
    from cryptography import exceptions
    from cryptography.hazmat.primitives.ciphers import aead
else:
    exceptions, aead = map(LazyModule, ("cryptography.exceptions", "cryptography.hazmat.primitives.ciphers.aead"))

_NONCE_BYTES = 12


class SessionSeal:
    """Signs ids, so that a name in the store is no valid cookie, and encrypts values if there is a key for it."""

    def __init__(self, signing_key: bytes, encryption_key: bytes | None) -> None:
        """Keep the keys; the configuration has checked their lengths."""
        self._key = signing_key
        self._cipher = aead.AESGCM(encryption_key) if encryption_key else None

    def signed(self, name: str) -> str:
        """Return the id of a name: the name with its signature."""
        digest = hmac.digest(self._key, name.encode(), hashlib.sha256)
        return f"{name}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    def name_of(self, session_id: str) -> str | None:
        """Return the name in an id, None if it is malformed or signed with another key."""
        name = session_id.partition(".")[0]
        valid = well_formed(name) and hmac.compare_digest(session_id.encode(), self.signed(name).encode())
        return name if valid else None

    def encrypted(self, name: str, value: bytes) -> bytes:
        """Return the value to store under a name."""
        if self._cipher is None:
            return value
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, name.encode())

    def decrypted(self, name: str, stored: bytes) -> bytes | None:
        """Return the value stored under a name, None if it was written with another key."""
        if self._cipher is None:
            return stored
        try:
            return self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], name.encode())
        except (exceptions.InvalidTag, ValueError):
            return None

    def secret(self) -> bytes:
        """Return a secret key that is derived from the signing key, and changes with it."""
        return hmac.digest(self._key, b"secret", hashlib.sha256)


class SealedSessions:
    """`SessionStore` in another one, with signed ids and values that may be encrypted."""

    def __init__(self, store: SessionStore, seal: SessionSeal) -> None:
        """Own the store, which is closed with this one."""
        self._store = store
        self._seal = seal

    def new_id(self) -> str:
        """See `SessionStore`."""
        return self._seal.signed(self._store.new_id())

    async def put(self, session_id: str, value: bytes, ttl_s: int) -> None:
        """See `SessionStore`."""
        name = self._seal.name_of(session_id)
        if name is None:
            raise ValueError("the id is not of this store")
        await self._store.put(name, self._seal.encrypted(name, value), ttl_s)

    async def get(self, session_id: str) -> bytes | None:
        """See `SessionStore`."""
        name = self._seal.name_of(session_id)
        stored = await self._store.get(name) if name is not None else None
        return self._seal.decrypted(name, stored) if name is not None and stored is not None else None

    async def delete(self, session_id: str) -> bool:
        """See `SessionStore`."""
        name = self._seal.name_of(session_id)
        return await self._store.delete(name) if name is not None else False

    async def secret(self) -> bytes:
        """See `SessionStore`. It is that of the seal, which all replicas have from their configuration."""
        return self._seal.secret()

    async def ids(self) -> AsyncIterator[str]:
        """See `SessionStore`."""
        async for name in self._store.ids():
            yield self._seal.signed(name)

    async def sweep(self) -> None:
        """See `SessionStore`."""
        await self._store.sweep()

    async def close(self) -> None:
        """See `SessionStore`."""
        await self._store.close()


def sealed(store: SessionStore, keys: SessionKeys | None) -> SessionStore:
    """Return the store, sealed if there are keys. Without them its ids are secret by their length alone."""
    signing_key, encryption_key = (
        each.get_secret_value().encode() if each is not None else b""
        for each in (keys.hash_key if keys else None, keys.encrypt_key if keys else None)
    )
    if not (signing_key or encryption_key):
        return store
    # Replicas that have the encryption key alone derive the same signing key from it.
    derived = hmac.digest(encryption_key, b"signing", hashlib.sha256)
    return SealedSessions(store, SessionSeal(signing_key or derived, encryption_key or None))
