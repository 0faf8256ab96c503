"""What the ways in of a configuration come to, before a server starts with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zot.auth.authenticators.htpasswd import parse
from zot.auth.build import Parts, build
from zot.auth.password_hashes import usable
from zot.auth.tokens import keys_of_file
from zot.config.errors import Advice
from zot.config.model import Config


def check(config: Config, parts: Parts) -> list[Advice]:
    """Point out files by which nobody can be let in. No server is asked, and nothing is kept in the parts.

    Raises what `build` does: ConfigurationError, or ValueError.
    """
    build(config, parts)
    auth, found = config.http.auth, []
    if auth.has_htpasswd and not _read(auth.htpasswd.path, _has_user):
        found.append(Advice("nobody in this file can log in", "http.auth.htpasswd.path"))
    cert = auth.bearer.cert if auth.bearer is not None and auth.has_token_bearer else ""
    if cert and not _read(cert, lambda content: bool(keys_of_file(content))):
        found.append(Advice("no token can be verified by this file", "http.auth.bearer.cert"))
    return found


def _has_user(content: bytes) -> bool:
    return any(map(usable, parse(content).values()))


def _read(path: str, is_useful: Callable[[bytes], bool]) -> bool:
    try:
        return is_useful(Path(path).read_bytes())
    except (OSError, ValueError):
        return False
