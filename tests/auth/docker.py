"""Authentication as Docker's engine does it, step by step (distribution, registry/client/auth/session.go)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import aiohttp

ENGINE = {"User-Agent": "docker/27.3.1 go/go1.22.7 os/linux arch/amd64 UpstreamClient(Docker-Client/27.3.1)"}
_CHALLENGE = re.compile(r"(\w+)\s+(.*)")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class NoCredentials(Exception):
    """The registry offered Basic, and the engine has no password: it sends nothing at all."""


class Refused(Exception):
    """The token endpoint refused."""


class Engine:
    """An engine that pulls and pushes, logged in or not."""

    def __init__(self, client: aiohttp.ClientSession, user: str = "", password: str = "") -> None:
        """Take the connection to the registry, and what `docker login` has kept."""
        self._client = client
        encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._login = {"Authorization": f"Basic {encoded}"} if user and password else {}
        self._user = user
        self._challenges: list[tuple[str, dict[str, str]]] = []
        self.tokens = 0

    async def ping(self) -> None:
        """Ask `/v2/` how to authenticate: only the challenges of a 401 count."""
        async with self._client.get("/v2/", headers=ENGINE) as response:
            assert response.status in {200, 401}
            if response.status == 401:
                values = response.headers.getall("WWW-Authenticate")
                self._challenges = [_parsed(value) for value in values]

    async def login(self) -> bool:
        """Do what `docker login` does: ping, then `/v2/` again with a token for no scope."""
        await self.ping()
        try:
            return await self.ask("GET", "/v2/", "") == 200
        except Refused:
            return False

    async def ask(self, method: str, path: str, scope: str, **options: Any) -> int:
        """Send a request of an operation that needs the scope, and give the status."""
        headers = {**ENGINE, **(await self._authorization(scope)), **options.pop("headers", {})}
        async with self._client.request(method, path, headers=headers, **options) as response:
            return response.status

    async def _authorization(self, scope: str) -> Mapping[str, str]:
        """Run the handlers one after the other, each on every challenge of its scheme; an error ends the request."""
        headers: dict[str, str] = {}
        for scheme, handle in (("bearer", self._bearer), ("basic", self._basic)):
            for offered, parameters in self._challenges:
                if offered == scheme:
                    headers["Authorization"] = await handle(parameters, scope)
        return headers

    async def _bearer(self, parameters: Mapping[str, str], scope: str) -> str:
        query = {"service": parameters["service"], "scope": scope, "account": self._user, "client_id": "docker"}
        query = {name: value for name, value in query.items() if value}
        async with self._client.get(parameters["realm"], params=query, headers=self._login) as response:
            if response.status != 200:
                raise Refused(response.status)
            issued = await response.json()
        self.tokens += 1
        assert issued["expires_in"] >= 60
        return f"Bearer {issued['access_token'] or issued['token']}"

    async def _basic(self, parameters: Mapping[str, str], scope: str) -> str:
        del parameters, scope
        if not self._login:
            raise NoCredentials
        return self._login["Authorization"]


def _parsed(value: str) -> tuple[str, dict[str, str]]:
    found = _CHALLENGE.fullmatch(value)
    assert found is not None
    return found[1].lower(), dict(_PARAMETER.findall(found[2]))
