"""Credentials that `docker login` and its relatives have stored, by themselves or in a credential helper."""

import base64
import binascii
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import click

_HELPER_TIMEOUT_S = 60
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")


def docker_credentials(host: str) -> str | None:
    """Return `user:password` for `host`, which is `name` or `name:port` as in a URL, or None.

    The file is `config.json` in `$DOCKER_CONFIG` or `~/.docker`. A helper for the host goes before the helper for all
    hosts, and that before the file itself, as in Docker. Raises ClickException when the file or a helper is broken.
    """
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    config = _read(path)
    helper = _mapping(config, "credHelpers").get(host) or config.get("credsStore")
    if helper:
        return _ask(str(helper), host)
    for server, entry in _mapping(config, "auths").items():
        if _host_of(server) == host and isinstance(entry, dict):
            return _stored(entry, path, host)
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from error
    if not isinstance(config, dict):
        raise _broken(path, "it is not a JSON object")
    return config


def _mapping(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _host_of(server: str) -> str:
    """Return the host of a key of `auths`, which may be a URL with a path: older programs wrote those."""
    return server.partition("://")[2].partition("/")[0] if "://" in server else server.partition("/")[0]


def _stored(entry: dict[str, Any], path: Path, host: str) -> str | None:
    if entry.get("username") and entry.get("password"):
        return f"{entry['username']}:{entry['password']}"
    encoded = entry.get("auth")
    if not encoded:
        return None
    try:
        credentials = base64.b64decode(str(encoded), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _broken(path, f'"auth" of {host} is not base64 of user:password') from error
    if ":" not in credentials:
        raise _broken(path, f'"auth" of {host} is not base64 of user:password')
    return credentials.rstrip("\0")


def _ask(helper: str, host: str) -> str | None:
    """Ask a credential helper, which is a program `docker-credential-NAME` in the path."""
    if not _HELPER_NAME.fullmatch(helper):
        raise click.ClickException(f"{helper!r} in Docker's configuration is not the name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(  # noqa: S603 (the name is checked, and the user's own choice)
            [program, "get"], input=host.encode(), capture_output=True, timeout=_HELPER_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise _failed(program, "it is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise _failed(program, f"no answer within {_HELPER_TIMEOUT_S} s") from error
    except OSError as error:
        raise _failed(program, error.strerror or "it cannot be run") from error
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        if "credentials not found" in said.lower():
            return None
        raise _failed(program, said.splitlines()[0] if said else f"exit status {done.returncode}")
    try:
        answer = json.loads(done.stdout)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, TypeError, KeyError) as error:
        raise _failed(program, "its answer has no Username and Secret") from error
    return f"{user}:{secret}" if user and secret else None


def _broken(path: Path, reason: str) -> click.ClickException:
    return click.ClickException(f"invalid Docker configuration: {path}: {reason}; give credentials with --user")


def _failed(program: str, reason: str) -> click.ClickException:
    return click.ClickException(f"{program} failed: {reason}; give credentials with --user")
