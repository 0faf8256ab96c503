"""Session ids: random texts that need no escaping in cookies and file names."""

from __future__ import annotations

import base64
import re
import secrets

# The lengths of zot's own ids.
LOCAL_BYTES = 32
SHARED_BYTES = 64

SECRET_BYTES = 32
"""The length of a store's secret key."""

_FORM = re.compile(r"[A-Z2-7]{52,103}")


def random_id(size_bytes: int) -> str:
    """Return random bytes in base32, without padding."""
    return base64.b32encode(secrets.token_bytes(size_bytes)).rstrip(b"=").decode()


def well_formed(session_id: str) -> bool:
    """Tell whether the text has the form of an id, so that no other cookie value reaches a store."""
    return _FORM.fullmatch(session_id) is not None
