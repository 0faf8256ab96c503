"""zli in a home of the test's own, and a stand-in for what a registry without zot's extensions cannot say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from zli.recorded_zot import RecordedZot, recorded_zot
from zot.zli.cli import cli


class Zli:
    """Runs zli in this process, its `~` being `home`."""

    def __init__(self, home: Path) -> None:
        """Take the home; nothing is made there."""
        self.home = home
        self.file = home / ".zot"

    def run(self, *words: str) -> Result:
        """Run a command line; what it raises and click does not know is the test's."""
        runner = CliRunner(env={"HOME": str(self.home)})
        return runner.invoke(cli, words, prog_name="zli", catch_exceptions=False)

    def __call__(self, *words: str) -> str:
        """Run what has to succeed without a word on standard error, and return what it printed."""
        done = self.run(*words)
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    def refused(self, *words: str, status: int = 1) -> str:
        """Run what has to fail, and return why."""
        done = self.run(*words)
        assert done.exit_code == status, done.output
        assert done.stdout == ""
        return done.stderr

    @property
    def saved(self) -> Any:
        """What the file has."""
        return json.loads(self.file.read_bytes())


@pytest.fixture
def zli(tmp_path: Path) -> Zli:
    """Make a home without a file."""
    (tmp_path / "home").mkdir()
    return Zli(tmp_path / "home")


@pytest.fixture
def zot() -> Iterator[RecordedZot]:
    """Serve what a zot with all extensions answered."""
    with recorded_zot() as served:
        yield served


@contextmanager
def answering(answers: dict[str, tuple[int, bytes]], headers: dict[str, str] | None = None) -> Iterator[str]:
    """Serve fixed answers by path, 404 elsewhere, all with the headers, and give the URL.

    A redirect's body is where it leads; instead of an answer with status 0 the connection is closed.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, b""))
            if not status:
                return
            self.send_response(status)
            if status == 307:
                self.send_header("Location", body.decode())
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
