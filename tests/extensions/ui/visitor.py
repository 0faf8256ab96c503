"""A visitor of the pages: asks for them, sends forms, logs in."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from http_client import Client, Response

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EXTENSIONS = {"search": {"enable": True}, "ui": {"enable": True}}


def page(client: Client, path: str, **headers: str) -> str:
    """Return the text of a page, which has to be there and to be safe."""
    answer = client.get(path, **headers)
    assert answer.status == 200, answer.body
    policy = answer["Content-Security-Policy"] or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "Cookie" in (answer["Vary"] or "")
    return answer.body.decode()


def post(client: Client, path: str, headers: Mapping[str, str] | None = None, /, **fields: str) -> Response:
    """Send a form."""
    return client.ask("POST", path, urlencode(fields).encode(), FORM | dict(headers or {}))


def log_in(client: Client, name: str) -> dict[str, str]:
    """Log in by the form; return the headers that the browser then sends."""
    answer = post(client, "/login", username=name, password=name, next="/image/team%2Fapp")
    assert (answer.status, answer["Location"]) == (303, "/image/team%2Fapp")
    cookies: SimpleCookie = SimpleCookie()
    for header in answer.headers.get_all("Set-Cookie", []):
        cookies.load(header)
    return {"Cookie": f"session={cookies['session'].value}"}
