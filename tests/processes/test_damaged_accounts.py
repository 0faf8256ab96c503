"""A damaged file of accounts keeps no client from what needs no login."""

from __future__ import annotations

import base64
from pathlib import Path

import bcrypt

from servers.zot import ZotServer

BY_KEY = {"Authorization": f"Basic {base64.b64encode(b'alice:zak_0123456789abcdef').decode()}"}


def test_pulls_without_login_go_on(tmp_path: Path) -> None:
    """The server starts, names the file and what to do, and serves anonymous clients; API keys get 503."""
    users = tmp_path / "htpasswd"
    users.write_bytes(b"alice:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    auth = {"htpasswd": {"path": str(users)}, "apikey": True}
    access = {"repositories": {"**": {"anonymousPolicy": ["read"], "defaultPolicy": ["read", "create"]}}}
    with ZotServer(tmp_path, http={"auth": auth, "accessControl": access}) as server:
        server.stop()
        path = server.root / ".zot" / "identity.db"
        for suffix in ("-wal", "-shm"):
            path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
        damaged = b"not a database" * 1000
        path.write_bytes(damaged)
        server.start()
        assert "identity.db is damaged: restore it from a backup, or move it away" in server.output()
        assert server.client.get("/v2/_catalog").json == {"repositories": []}
        assert server.client.get("/readyz").status == 200
        assert server.client.ask("GET", "/v2/_catalog", headers=BY_KEY).status == 503
        assert path.read_bytes() == damaged
