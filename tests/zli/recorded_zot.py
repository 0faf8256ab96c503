"""A stand-in for zot with its search extension, which answers queries as a zot answered them.

`recorded/answers.json` has what that zot's GraphQL gave, and `recorded/NN-*.txt` what its own zli printed of it, with
standard error and exit status.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(__file__).parent / "recorded"
ADMIN = f"Basic {b64encode(b'admin:admin').decode()}"
_TRANSCRIPT = re.compile(r"\$ zli (.*)\n--- stdout\n(.*)--- stderr\n(.*)--- exit (\d+)\n", re.DOTALL)
_UNAUTHORIZED = {
    "code": "UNAUTHORIZED",
    "message": "authentication required",
    "detail": {
        "description": "The access controller was unable to authenticate the client. Often this will be accompanied by "
        "a WWW-Authenticate HTTP response header indicating how to authenticate."
    },
}
ARGUMENTS = {
    "ImageList": ["repo", "requestedPage"],
    "CVEListForImage": ["image", "requestedPage", "searchedCVE", "excludedCVE", "severity"],
}


class Transcript(NamedTuple):
    """A command of zot's zli, and what it did."""

    command: str
    stdout: str
    stderr: str
    status: int


def transcript(name: str) -> Transcript:
    """Return the transcript whose file's name begins with a number."""
    (path,) = FOLDER.glob(f"{name}-*.txt")
    match = _TRANSCRIPT.fullmatch(path.read_text())
    assert match is not None
    return Transcript(match[1], match[2], match[3], int(match[4]))


class RecordedZot:
    """What the server answers. Tests may change it; `requests` has the paths that were asked for, decoded."""

    def __init__(self) -> None:
        recorded = json.loads((FOLDER / "answers.json").read_bytes())
        self.url = ""
        self.repositories: list[str] = recorded["repositories"]
        self.images: dict[str, Any] = recorded["images"]
        self.answers: dict[str, Any] = recorded["answers"]
        self.requests: list[str] = []
        self.queries: list[str] = []
        self.search = True
        self.invalid = False
        """Whether the server finds every query but introspection invalid."""

    def respond(self, method: str, path: str, authorization: str | None) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        parts = urlsplit(path)
        self.requests.append(path)
        if authorization not in {ADMIN, None}:
            return 401, {}, json.dumps(_UNAUTHORIZED, separators=(",", ":")).encode()
        if parts.path == "/v2/_catalog":
            return 200, {}, json.dumps({"repositories": self.repositories}).encode()
        if parts.path == "/v2/_zot/ext/search" and self.search:
            status, body = self.query(parse_qs(parts.query)["query"][0])
            return status, {}, json.dumps(body).encode()
        repository, _, reference = parts.path.removeprefix("/v2/").partition("/manifests/")
        image = self.images.get(f"{repository}:{reference}")
        if method == "HEAD" and image is not None:
            return 200, {"Docker-Content-Digest": image["Digest"]}, b""
        return 404, {}, b""

    def query(self, text: str) -> tuple[int, Any]:
        """Return status and answer of a GraphQL query."""
        self.queries.append(text)
        if "__schema" in text:
            fields = [
                {"name": name, "args": [{"name": each} for each in arguments]} for name, arguments in ARGUMENTS.items()
            ]
            return 200, {"data": {"__schema": {"queryType": {"fields": fields}}}}
        if self.invalid:
            return 422, {
                "errors": [{"message": "Unknown argument", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]
            }
        match = re.match(r"\{(\w+)\((.*?)\) \{", text)
        assert match is not None
        name, arguments = match.groups()
        texts = [json.loads(each) for each in re.findall(r'"(?:[^"\\]|\\.)*"', arguments)]
        key = " ".join([name, *(each for each in texts if each)])
        if (criterion := re.search(r"sortBy: (\w+)", arguments)) and f"{key} {criterion[1]}" in self.answers:
            key = f"{key} {criterion[1]}"
        answer = self.answers[key]
        if isinstance(answer, dict) and "errors" in answer:
            return 200, {"errors": [{"message": each} for each in answer["errors"]], "data": None}
        page = re.search(r"limit: (\d+), offset: (\d+)", arguments)
        if page is not None:
            answer = self._page(answer, int(page[1]), int(page[2]))
        return 200, {"data": {name: answer}}

    def _page(self, answer: dict[str, Any], limit: int, offset: int) -> dict[str, Any]:
        """Return a page of a list, whose images are named in `answer`."""
        page: dict[str, Any] = {}
        counts = []
        for field, items in answer.items():
            shown = None if items is None else items[offset : offset + limit]
            if field != "Repos" and shown is not None:
                shown = [self.images[each] for each in shown]
            page[field] = shown
            counts.append(len(items or ()))
        return page | {"Page": {"TotalCount": sum(counts), "ItemCount": min(limit, max(0, sum(counts) - offset))}}


@contextmanager
def recorded_zot() -> Iterator[RecordedZot]:
    """Serve a stand-in at its `url`."""
    zot = RecordedZot()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = zot.respond(self.command, self.path, self.headers["Authorization"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        zot.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield zot
        finally:
            server.shutdown()
            thread.join()
