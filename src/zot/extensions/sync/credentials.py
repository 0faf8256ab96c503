"""Credentials for upstreams: `credentialsFile`, and what `docker login` has stored."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from zot.auth.cached_file import CachedFile
from zot.config.errors import ConfigurationError
from zot.config.secret_files import read_sync_credentials
from zot.foundation.threads import ThreadPool
from zot.registry.errors import Unavailable
from zot.upstream.authorization import UpstreamLogin
from zot.upstream.errors import UpstreamError

DOCKER_HUB = "registry-1.docker.io"
DOCKER_HUB_NAMES = ("docker.io", "index.docker.io", DOCKER_HUB)
"""Names by which Docker Hub is configured; its API is at the last one."""

ByHost = Mapping[str, UpstreamLogin]


class UpstreamCredentials:
    """Credentials by `host[:port]`; both files are read again after they have changed."""

    def __init__(self, credentials_file: str, pool: ThreadPool) -> None:
        """Look into the file first, if its name is not empty, and then into Docker's configuration."""
        self._files: list[tuple[Path, CachedFile[ByHost], bool]] = []
        if credentials_file:
            path = Path(credentials_file)
            self._files.append((path, CachedFile(path, lambda content: _sync_file(path, content), pool), True))
        docker = Path(os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()) / "config.json"
        self._files.append((docker, CachedFile(docker, _docker_file, pool), False))

    def of(self, host: str) -> Callable[[], Awaitable[UpstreamLogin | None]]:
        """Return a function that returns the credentials for a host, None if there are none.

        It raises UpstreamError while `credentialsFile` cannot be read.
        """
        names = (*DOCKER_HUB_NAMES, "https://index.docker.io/v1/") if host in DOCKER_HUB_NAMES else (host,)

        async def find() -> UpstreamLogin | None:
            for path, file, must_exist in self._files:
                try:
                    by_host = await file.content()
                except Unavailable as error:
                    if not must_exist:
                        continue
                    raise UpstreamError(f"the credentials in {path} cannot be read") from error
                found = next((by_host[name] for name in names if name in by_host), None)
                if found is not None:
                    return found
            return None

        return find


def _sync_file(path: Path, content: bytes) -> ByHost:
    try:
        entries = read_sync_credentials(path, lambda _: content)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return {host: UpstreamLogin(entry.username, entry.password.get_secret_value()) for host, entry in entries.items()}


def _docker_file(content: bytes) -> ByHost:
    document: Any = msgspec.json.decode(content)
    auths = document.get("auths") if isinstance(document, dict) else None
    found = {}
    for server, entry in (auths if isinstance(auths, dict) else {}).items():
        encoded = entry.get("auth") if isinstance(entry, dict) else None
        try:
            username, separator, password = base64.b64decode(str(encoded or ""), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            continue
        if separator:
            host = server if server.startswith("https://index.docker.io/") else _host_of(server)
            found[host] = UpstreamLogin(username, password.rstrip("\0"))
    return found


def _host_of(server: str) -> str:
    """Return the host of a key of `auths`, which may be a URL with a path: older programs wrote those."""
    return server.partition("://")[2].partition("/")[0] if "://" in server else server.partition("/")[0]
