"""A registry with everything that its administrators look at: users, quotas, retention, an audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from extensions.ui.visitor import EXTENSIONS
from http_client import Client
from layout.images import image
from zot.maintenance import scheduler
from zot.testing import RunningRegistry, serve

HOSTILE_USER = "<img src=x onerror=alert(1)>"
"""A user of the htpasswd file, whose password is `x`."""
SECRET = "of-the-provider"


@contextmanager
def administered(folder: Path) -> Iterator[RunningRegistry]:
    """Run it: passwords are the names, `admin` is its administrator, and `team/old` has what collection deletes."""
    users = folder / "htpasswd"
    passwords = {"admin": "admin", "alice": "alice", "bob": "bob", HOSTILE_USER: "x"}
    users.write_bytes(
        b"".join(
            name.encode() + b":" + bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)) + b"\n"
            for name, password in passwords.items()
        )
    )
    provider = {"clientid": "zot", "clientsecret": SECRET, "issuer": "https://provider.invalid", "scopes": ["openid"]}
    auth = {"htpasswd": {"path": str(users)}, "apikey": True, "openid": {"providers": {"oidc": provider}}}
    rules = {
        "repositories": {
            "team/**": {"policies": [{"users": ["alice"], "actions": ["read", "create"]}]},
            "public/**": {"anonymousPolicy": ["read"]},
        },
        "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
    }
    keep = [{"patterns": ["kept.*"]}]
    storage = {
        "gc": True,
        "gcDelay": "1h",
        "retention": {"policies": [{"repositories": ["team/old"], "keepTags": keep}]},
        "quotas": [
            {"repositories": ["team/**"], "bytes": 2_000},
            {"repositories": ["**"], "bytes": 1_000_000, "each": True},
        ],
    }
    config = {
        "extensions": EXTENSIONS,
        "storage": storage,
        "http": {"auth": auth, "accessControl": rules, "externalUrl": ""},
        "log": {"audit": str(folder / "audit.log")},
    }
    with pytest.MonkeyPatch.context() as patched:
        # No job begins by itself.
        patched.setattr(scheduler, "_spread", lambda: 1.0)
        patched.setattr(scheduler, "_SPREAD_S", 3600.0)
        with serve(folder / "content", config) as registry:
            fill(registry)
            yield registry


def fill(registry: RunningRegistry) -> None:
    """Push what the pages show."""
    admin = Client(registry.host, user="admin:admin")
    admin.push("team/app", image("app"), "1")
    for tag in ("kept", "superseded"):
        admin.push("team/old", image(tag), tag)
    admin.push("public/base", image("app"), "1")
