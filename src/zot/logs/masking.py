"""Masks secrets in log lines as `******`; in doubt, a value is masked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote_plus

from zot.config.masking import MASK, is_secret, mask, mask_urls

# Parts of names, in lower case: `X-Amz-Security-Token`, `client_secret`, `Set-Cookie`.
_SECRET_PARTS = ("cookie", "credential", "passw", "secret", "signature", "token")
# Parameters of an OAuth 2.0 callback (RFC 6749, 4.1.2) and of signed URLs.
_PARAMETERS = frozenset({"code", "sig", "state"})

_PARAMETER = re.compile(r"([?&]([^=&#\s]+)=)([^&#\s]+)")
_SCHEME = re.compile(r"\b(basic|bearer)(\s+)[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE)
_API_KEY = re.compile(r"zak_[0-9A-Za-z]+|zrt_[0-9A-Za-z_.-]+")


@lru_cache(maxsize=256)
def names_secret(name: str) -> bool:
    """Tell whether a header, field or parameter of this name holds a secret."""
    lowered = name.lower()
    return any(part in lowered for part in _SECRET_PARTS) or lowered.endswith("-auth") or is_secret(name)


def masked_query(target: str) -> str:
    """Return a request target or URL with the secret parameters of its query masked."""
    if "?" not in target:
        return target
    return _PARAMETER.sub(_parameter, target)


def _parameter(found: re.Match[str]) -> str:
    name = unquote_plus(found[2])
    return f"{found[1]}{MASK}" if name.lower() in _PARAMETERS or names_secret(name) else found[0]


def masked_text(text: str) -> str:
    """Return a message with the passwords, tokens and keys in it masked."""
    text = _SCHEME.sub(rf"\1\2{MASK}", _API_KEY.sub(MASK, text))
    return masked_query(mask_urls(text))


def masked_fields(values: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a line with the secret ones masked, at any depth."""
    return {name: MASK if names_secret(name) else mask(value, name) for name, value in values.items()}


def masked_headers(headers: Iterable[tuple[str, str]], value_limit: int) -> dict[str, list[str]]:
    """Return headers as zot logs them, name to values, with secrets masked and long values cut."""
    shown: dict[str, list[str]] = {}
    for name, value in headers:
        text = MASK if names_secret(name) else value[:value_limit]
        if "?" in text:
            text = masked_query(text)
        if name in shown:
            shown[name].append(text)
        else:
            shown[name] = [text]
    return shown
