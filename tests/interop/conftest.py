"""Registries for real clients: open over HTTP, with passwords over HTTPS, and shared over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from certificates import Authority
from clients import Clients
from http_client import Client
from interop.harness import PASSWORD, USER, Site
from servers.zot import ZotServer


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZotServer]:
    """A server without authentication, over HTTP."""
    with ZotServer(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ZotServer]:
    """A server with passwords, over HTTPS."""
    folder = tmp_path_factory.mktemp("secure")
    password = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{USER}:{password}\n")
    http = {
        "auth": {"htpasswd": {"path": str(folder / "htpasswd")}},
        "tls": {"cert": str(authority.folder / "server.pem"), "key": str(authority.folder / "server.key")},
    }
    with ZotServer(folder, http=http, tls=ssl.create_default_context(cafile=authority.path)) as running:
        yield running


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZotServer]:
    """A server over HTTP where every client may pull and alice may do everything."""
    folder = tmp_path_factory.mktemp("shared")
    password = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{USER}:{password}\n")
    actions = ["read", "create", "update", "delete"]
    rules = {
        "private/**": {"policies": [{"users": [USER], "actions": actions}]},
        "inbox/**": {"anonymousPolicy": ["read", "create"], "policies": [{"users": [USER], "actions": actions}]},
        "**": {"anonymousPolicy": ["read"], "policies": [{"users": [USER], "actions": actions}]},
    }
    http = {
        "auth": {"htpasswd": {"path": str(folder / "htpasswd")}},
        "accessControl": {"repositories": rules},
        "workers": 2,
    }
    with ZotServer(folder, http=http) as running:
        yield running


@pytest.fixture(params=["plain", "secure"])
def site(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> Site:
    """Each of the registries `plain` and `secure`, with clients that are logged in."""
    is_secure = request.param == "secure"
    server: ZotServer = request.getfixturevalue(request.param)
    (tmp_path / "home" / ".docker").mkdir(parents=True)
    clients = Clients(tmp_path / "home", authority.path if is_secure else None)
    user = f"{USER}:{PASSWORD}" if is_secure else ""
    tls = ssl.create_default_context(cafile=authority.path) if is_secure else None
    made = Site(server.host, Client(server.host, tls, user), clients, secure=is_secure)
    made.log_in_if_secure()
    return made
