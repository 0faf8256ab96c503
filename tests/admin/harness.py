"""A store with a configuration file, with or without a server on it, and a client of that server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from zot.cli.main import cli
from zot.oci.digest import Digest, digest_of
from zot.oci.media_types import IMAGE_MANIFEST, OCTET_STREAM
from zot.testing import RunningRegistry, serve

APP = "team/app"


class Place:
    """A store with a configuration file, with or without a server on it."""

    def __init__(self, directory: Path, storage: dict[str, Any]) -> None:
        self.root = directory / "content"
        self.file = directory / "config.json"
        self.storage = {"gc": True, "minFreeBytes": 0, "minFreePercent": 0, **storage}
        tree = {
            "storage": {"rootDirectory": str(self.root), **self.storage},
            "http": {"address": "127.0.0.1", "port": "0"},
        }
        self.file.write_text(json.dumps(tree))

    @contextmanager
    def serve(self) -> Iterator[RunningRegistry]:
        """Run a server on it during the block."""
        with serve(self.root, {"storage": self.storage}) as registry:
            while not self.control.exists():
                time.sleep(0.01)
            yield registry

    @property
    def control(self) -> Path:
        """The socket by which commands reach the server."""
        return self.root / ".zot" / "control"

    def zot(self, *arguments: str, status: int = 0) -> str:
        """Run `zot` with arguments and the configuration file; return its output."""
        result = CliRunner().invoke(cli, [*arguments, str(self.file)])
        assert result.exit_code == status, f"{arguments}: {result.output}"
        return result.output


class Client:
    """Pushes to and pulls from a registry."""

    def __init__(self, registry: RunningRegistry) -> None:
        self._host = registry.host

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Send a request; return status and body."""
        connection = HTTPConnection(self._host)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def push(self, name: str, tag: str) -> Digest:
        """Push an image of one layer."""
        layer = f"layer of {name}".encode()
        for content in (layer, b"{}"):
            path = f"/v2/{APP}/blobs/uploads/?digest={digest_of(content)}"
            status, _ = self.ask("POST", path, content, **{"Content-Type": OCTET_STREAM})
            assert status == 201
        described = [
            {"mediaType": OCTET_STREAM, "digest": digest_of(content), "size": len(content)}
            for content in (b"{}", layer)
        ]
        manifest = json.dumps({"schemaVersion": 2, "config": described[0], "layers": described[1:]}).encode()
        status, answer = self.ask("PUT", f"/v2/{APP}/manifests/{tag}", manifest, **{"Content-Type": IMAGE_MANIFEST})
        assert status == 201, answer
        return digest_of(manifest)

    def resolve(self, reference: str) -> Digest | None:
        """Return the content of a reference."""
        status, content = self.ask("GET", f"/v2/{APP}/manifests/{reference}")
        return digest_of(content) if status == 200 else None
