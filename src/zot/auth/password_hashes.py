"""Verifies the password hashes of htpasswd files: bcrypt, sha256-crypt and sha512-crypt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zot.foundation.imports import LazyModule

if TYPE_CHECKING:
    import bcrypt
    from passlib import hash as hashes
else:
    bcrypt, hashes = LazyModule("bcrypt"), LazyModule("passlib.hash")

# bcrypt uses 72 bytes of a password. The library refuses longer ones; those of zot and Apache ignore the rest.
_BCRYPT_LENGTH = 72

# A cost of 2^16 takes 4 s of one processor; with more, a thread would work for longer than a client waits.
_BCRYPT_COST_LIMIT = 16
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")

# The library computes the rounds in Python, at about a microsecond each.
_SHA_CRYPT_ROUNDS_LIMIT = 1_000_000


def usable(hashed: str) -> bool:
    """Tell whether `verify` can succeed: the hash is supported, well-formed, and not too expensive."""
    match = _BCRYPT.fullmatch(hashed)
    if match:
        return 4 <= int(match[1]) <= _BCRYPT_COST_LIMIT
    for kind in (hashes.sha256_crypt, hashes.sha512_crypt):
        if kind.identify(hashed):
            try:
                parsed = kind.from_string(hashed)
            except ValueError:
                return False
            return bool(parsed.rounds <= _SHA_CRYPT_ROUNDS_LIMIT and parsed.checksum)
    return False


def verify(password: str, hashed: str) -> bool:
    """Tell whether the password has this hash; False if the hash is not usable.

    Takes up to seconds: do not call it on the event loop.
    """
    if not usable(hashed):
        return False
    if hashed.startswith("$2"):
        return bcrypt.checkpw(password.encode()[:_BCRYPT_LENGTH], hashed.encode())
    kind = hashes.sha256_crypt if hashed.startswith("$5$") else hashes.sha512_crypt
    try:
        return bool(kind.verify(password, hashed))
    except ValueError:  # a password with a NUL, or of thousands of characters
        return False
