"""Checks the URLs that a browser is redirected to after a login, against open redirects."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

CALLBACK_PATH = "/zot/auth/callback"
"""The prefix of the redirect URIs, followed by the provider's name."""

DEFAULT = "/"


def origin_of(url: str) -> str | None:
    """Return the origin of an absolute http or https URL, None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_default = port is None or (parts.scheme, port) in {("http", 80), ("https", 443)}
    return f"{parts.scheme}://{host}" if is_default else f"{parts.scheme}://{host}:{port}"


def safe_callback(callback: str, origins: Iterable[str]) -> str:
    """Return the callback if it is a path or of one of the origins, `/` otherwise; empty stays empty.

    A path starts with one slash: two name another host, and browsers read a backslash as a slash.
    """
    if not callback:
        return ""
    if "\\" in callback or any(not each.isprintable() for each in callback):
        return DEFAULT
    if callback.startswith("/"):
        return DEFAULT if callback.startswith("//") else callback
    origin = origin_of(callback)
    return callback if origin is not None and origin in {origin_of(allowed) for allowed in origins} else DEFAULT
