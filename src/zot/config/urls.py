"""URLs in the configuration."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def split_url(text: str) -> SplitResult | None:
    """Return the parts of a text that starts with a URL's scheme; None if it does not, or is malformed."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return parts if parts.scheme else None
