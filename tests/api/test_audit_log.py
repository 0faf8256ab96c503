"""The audit log says who did what to what, and who was not let."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from loopback import serve_handler
from zot.api.audit_log import AuditLog
from zot.api.client_address import ClientAddresses
from zot.api.http_request import Handler, HttpRequest
from zot.auth.principal import Principal
from zot.logs.setup import Logs
from zot.oci.names import parse_reference, parse_repository, parse_tag
from zot.registry.request import Ping, PullManifest, PushManifest, Request

APP = parse_repository("team/app")
PUSH = PushManifest(repository=APP, reference=parse_reference("1.0"), tags=(parse_tag("1.0"),))
PULL = PullManifest(repository=APP, reference=parse_reference("1.0"))
ALICE = Principal("alice", "htpasswd")


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    """The logs, with an audit log."""
    with Logs("info", str(tmp_path / "log"), str(tmp_path / "audit")) as logs:
        yield logs


def answering(status: int, request: Request | None = None, principal: Principal | None = None) -> Handler:
    """A handler that let a request so far and answers with a status."""

    async def handler(http: HttpRequest) -> web.StreamResponse:
        if request is not None:
            http.request = request
        if principal is not None:
            http.principal = principal
        return web.Response(status=status)

    return handler


async def audited(
    logs: Logs, tmp_path: Path, handler: Handler, method: str, target: str, headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """The audit lines of one request."""
    async with serve_handler(handler, AuditLog(ClientAddresses()).observe) as server:
        await server.ask(method, target, headers)
    assert logs.audit_writer is not None
    assert logs.audit_writer.flush()
    return [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]


async def test_a_change_is_audited(logs: Logs, tmp_path: Path) -> None:
    """A push is a line with zot's fields, how the subject was identified, and what the request meant."""
    handler = answering(201, PUSH, ALICE)
    (line,) = await audited(logs, tmp_path, handler, "PUT", "/v2/team/app/manifests/1.0")
    assert line.pop("clientIP").startswith("127.0.0.1:")
    assert line.pop("time")
    assert line == {
        "level": "info",
        "message": "HTTP API Audit",
        "component": "session",
        "subject": "alice",
        "action": "PUT",
        "object": "/v2/team/app/manifests/1.0",
        "status": 201,
        "result": "done",
        "identifiedBy": "htpasswd",
        "operation": "manifest.push",
        "repository": "team/app",
        "reference": "1.0",
        "tags": ["1.0"],
    }


async def test_reading_is_not_audited(logs: Logs, tmp_path: Path) -> None:
    """A pull that is allowed changes nothing and is no line, not even when nothing was found."""
    for status in (200, 404):
        assert await audited(logs, tmp_path, answering(status, PULL, ALICE), "GET", "/v2/team/app/manifests/1.0") == []


@pytest.mark.parametrize("status", [401, 403])
async def test_whatever_is_denied_is_audited(logs: Logs, tmp_path: Path, status: int) -> None:
    """Who was not let is a line, whatever was asked for."""
    (line,) = await audited(logs, tmp_path, answering(status, PULL, ALICE), "GET", "/v2/team/app/manifests/1.0")
    assert (line["result"], line["subject"], line["repository"]) == ("denied", "alice", "team/app")


async def test_a_failed_change_is_audited(logs: Logs, tmp_path: Path) -> None:
    """An attempt that came to nothing is told from one that did not."""
    (line,) = await audited(logs, tmp_path, answering(404, PUSH, ALICE), "DELETE", "/v2/team/app/manifests/1.0")
    assert (line["result"], line["status"]) == ("failed", 404)


async def test_a_wrong_password_names_who_was_claimed(logs: Logs, tmp_path: Path) -> None:
    """The name given with a password that was refused is told, as a claim, and the password is not."""
    given = {"Authorization": "Basic " + b64encode(b"mallory:hunter2").decode()}
    (line,) = await audited(logs, tmp_path, answering(401, Ping()), "GET", "/v2/", given)
    assert (line["subject"], line["claimed"], line["identifiedBy"]) == ("anonymous", "mallory", "none")
    assert "hunter2" not in json.dumps(line)


@pytest.mark.parametrize("credentials", ["Basic !!!", "Basic " + b64encode(b"no-colon").decode(), "Bearer x", "x", ""])
async def test_garbled_credentials_claim_nobody(logs: Logs, tmp_path: Path, credentials: str) -> None:
    """What is no name and password is audited without a claim."""
    given = {"Authorization": credentials}
    (line,) = await audited(logs, tmp_path, answering(401, PULL), "GET", "/v2/team/app/manifests/1.0", given)
    assert "claimed" not in line


async def test_asking_how_to_log_in_is_not_audited(logs: Logs, tmp_path: Path) -> None:
    """Every client begins with a request that is refused so that it learns how to log in."""
    assert await audited(logs, tmp_path, answering(401, Ping()), "GET", "/v2/") == []


async def test_changes_outside_the_distribution_api_are_audited(logs: Logs, tmp_path: Path) -> None:
    """What was not parsed is audited by method and path, with its secrets masked."""
    (line,) = await audited(logs, tmp_path, answering(200), "DELETE", "/zot/auth/apikey?id=1&token=hunter2")
    assert line["object"] == "/zot/auth/apikey?id=1&token=******"
    assert "operation" not in line
