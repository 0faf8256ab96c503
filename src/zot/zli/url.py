"""What is a registry's address."""

from urllib.parse import urlsplit

import click


def checked_url(text: str) -> str:
    """Return the URL, having checked that it says how to reach a host. Raises ClickException."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        host.encode("idna")  # as resolving the address does
    except ValueError as error:
        raise click.ClickException(f"invalid URL format: {text!r}: {error}") from error
    if not parts.scheme or not parts.netloc:
        raise click.ClickException(f"invalid URL format: {text!r}: scheme not provided (ex: https://)")
    if parts.scheme not in {"http", "https"} or not host or any(each.isspace() for each in text):
        raise click.ClickException(f"invalid URL format: {text!r} is not of the form https://host[:port]")
    if "@" in parts.netloc:
        raise click.ClickException("invalid URL format: credentials do not belong into a URL, give them with --user")
    return text
