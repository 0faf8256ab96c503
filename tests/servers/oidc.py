"""An OpenID Connect provider: the npm package oidc-provider, certified by the OpenID Foundation."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import programs
from servers.process import Process, accepts, free_port

SCRIPT = programs.ROOT / "tests" / "npm" / "oidc.mjs"
CLIENT_ID = "zot"
CLIENT_SECRET = "zot-client-secret"

# Claims by login name; any password logs in.
ACCOUNTS: dict[str, dict[str, object]] = {
    "alice": {"email": "alice@example.org", "name": "Alice", "groups": ["developers", "admins"]},
    "bob": {"email": "bob@example.org", "name": "Bob", "groups": ["developers"]},
}


class OidcProvider(Process):
    """A provider at `issuer` with the client CLIENT_ID and the ACCOUNTS, all in memory.

    It requires PKCE, signs ID tokens with RS256, and offers the scopes openid, profile, email and groups.
    Its login takes two forms, as a browser would send them: GET the authorization URL and follow to
    `/interaction/ID`; POST `prompt=login&login=NAME&password=ANY` there; follow; POST `prompt=consent`.
    """

    def __init__(self, folder: Path, redirect_uris: Sequence[str]) -> None:
        """Describe the provider; nothing starts yet. The client may use `redirect_uris`."""
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        settings = {
            "package": str(programs.require("oidc-provider")),
            "port": self.port,
            "issuer": self.issuer,
            "client": {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uris": list(redirect_uris)},
            "accounts": ACCOUNTS,
        }
        super().__init__(
            ["node", SCRIPT, json.dumps(settings)], log=folder / "oidc.log", ready=lambda: accepts(self.port)
        )


@pytest.fixture(scope="session")
def oidc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the logs of providers. The redirect URI depends on the test, so each test starts its own."""
    return tmp_path_factory.mktemp("oidc")
