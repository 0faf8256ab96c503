"""The keys of a token server, in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zot.auth.cached_file import CachedFile
from zot.auth.tokens import VerificationKey, keys_of_file
from zot.foundation.threads import ThreadPool


class KeyFile:
    """A certificate, public keys, or a JWK set, as the file is at the moment."""

    needs_key_id = False

    def __init__(self, path: Path, pool: ThreadPool) -> None:
        """Take the file; nothing is read yet."""
        self._file = CachedFile(path, keys_of_file, pool)

    async def keys(self) -> Sequence[VerificationKey]:
        """Return the keys; raise Unavailable if the file cannot be read."""
        return await self._file.content()
