"""What all tests of the pages share: a registry in which any client may do anything, one with users, two browsers."""

from __future__ import annotations

from collections.abc import Iterator

import bcrypt
import pytest
from selenium.webdriver import Chrome

from extensions.ui.browsing import opened
from extensions.ui.visitor import EXTENSIONS
from http_client import Client
from layout.images import image
from zot.testing import RunningRegistry, serve


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry with pages in which any client may do everything."""
    root = tmp_path_factory.mktemp("pages") / "content"
    with serve(root, {"extensions": EXTENSIONS}) as registry:
        yield registry
    faults = [line for line in (root.parent / "zot.log").read_text().splitlines() if '"statusCode":500' in line]
    assert faults == []


@pytest.fixture
def client(running: RunningRegistry) -> Client:
    """A client of it."""
    return Client(running.host)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry of users: alice reads `team/**`, guests read `public/**`, admin does everything."""
    folder = tmp_path_factory.mktemp("guarded")
    users = folder / "htpasswd"
    # Passwords are the names; cost 4 keeps the tests quick.
    users.write_bytes(
        b"".join(
            name + b":" + bcrypt.hashpw(name, bcrypt.gensalt(4)) + b"\n"
            for name in (b"admin", b"alice", b"bob", b"carol")
        )
    )
    rules = {
        "repositories": {
            "team/**": {"policies": [{"users": ["alice"], "actions": ["read", "delete"]}]},
            "public/**": {"anonymousPolicy": ["read"]},
        },
        "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
    }
    config = {
        "extensions": EXTENSIONS,
        "http": {"auth": {"htpasswd": {"path": str(users)}, "apikey": True}, "accessControl": rules},
    }
    with serve(folder / "content", config) as registry:
        admin = Client(registry.host, user="admin:admin")
        admin.push("team/app", image("app"), "1")
        admin.push("secret/app", image("secret"), "1")
        admin.push("public/app", image("public"), "1")
        yield registry


@pytest.fixture(scope="session")
def chrome() -> Iterator[Chrome]:
    """A browser, with what the tests before did in it."""
    with opened() as browser:
        yield browser


@pytest.fixture(scope="module")
def browser(chrome: Chrome) -> Chrome:
    """The browser, in which no user is logged in at first."""
    chrome.delete_all_cookies()
    return chrome


@pytest.fixture(scope="session")
def scriptless() -> Iterator[Chrome]:
    """A browser that runs no scripts."""
    with opened(scripts=False) as browser:
        yield browser
