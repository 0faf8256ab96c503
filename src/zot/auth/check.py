"""Checks the authentication of a configuration before a server starts with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zot.auth.authenticators import htpasswd_file
from zot.auth.build import AuthParts, build
from zot.auth.cached_file import read_regular_file
from zot.auth.password_hashes import usable
from zot.auth.tokens import parse_keys
from zot.config.auth import AuthConfig
from zot.config.errors import ConfigProblem, ConfigurationError, ConfigWarning
from zot.config.model import Config


def check(config: Config, parts: AuthParts) -> list[ConfigWarning]:
    """Return warnings about authentication that accepts no client.

    Connects to no server and changes nothing in the parts. Raises what `build` and `check_files` raise:
    ConfigurationError, or ValueError.
    """
    build(config, parts)
    return check_files(config.http.auth)


def check_files(auth: AuthConfig) -> list[ConfigWarning]:
    """Return warnings about the files of users and keys.

    Raises ConfigurationError if a file that logins depend on cannot be read: the server would answer 503.
    """
    found = _check_htpasswd(auth) if auth.has_htpasswd else []
    if auth.bearer is not None and auth.has_token_bearer and auth.bearer.cert:
        _check_keys(auth.bearer.cert)
    return found


def _check_htpasswd(auth: AuthConfig) -> list[ConfigWarning]:
    key, path = "http.auth.htpasswd.path", auth.htpasswd.path
    with _reported_as_problem(path, key, "a file of name:hash lines"):
        file = htpasswd_file.read(Path(path))
    found = [ConfigWarning(fault, key) for fault in file.faults]
    if not any(map(usable, file.users.values())):
        found.append(ConfigWarning("no user in this file can log in", key))
    return found


def _check_keys(path: str) -> None:
    with _reported_as_problem(path, "http.auth.bearer.cert", "certificates, public keys or a JWK set"):
        parse_keys(read_regular_file(Path(path)))


@contextmanager
def _reported_as_problem(path: str, key: str, expected: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(ConfigProblem(f"{path!r} cannot be read: {error.strerror}", key, expected)) from None
    except ValueError as error:
        raise ConfigurationError(ConfigProblem(f"{path!r}: {error}", key, expected)) from None
