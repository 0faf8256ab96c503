"""Run a page of the documentation: its shell commands, in order, with its configuration."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from layout.images import CONFIG, LAYER, MANIFEST, Image, sha256
from programs import ROOT
from servers.process import free_port

DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ +(?:zot|zli) [^\n]*\n)+", re.MULTILINE)
_PATIENCE_S = 60.0

# A stand-in for Docker without a daemon: skopeo does what its commands do for a registry, in Docker's manifest format.
_DOCKER = """#!/bin/bash -eu
full() { case "$1" in */*) echo "$1";; *) echo "docker.io/library/$1";; esac; }
kept() { echo "$DOCKER_IMAGES/$(full "$1" | tr '/:' '__')"; }
case "$1" in
  pull) rm -rf "$(kept "$2")"; skopeo copy --src-tls-verify=false "docker://$(full "$2")" "dir:$(kept "$2")" ;;
  tag) rm -rf "$(kept "$3")"; cp -r "$(kept "$2")" "$(kept "$3")" ;;
  push) skopeo copy --format v2s2 --dest-tls-verify=false "dir:$(kept "$2")" "docker://$(full "$2")" ;;
  login) shift; skopeo login --tls-verify=false "$@" ;;
  *) echo "docker $1: not known" >&2; exit 1 ;;
esac
"""


class Block(NamedTuple):
    """A block of code of a page."""

    language: str
    note: str
    """What follows the language: `stopped` stops the server before."""
    text: str


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page below `docs`; indented commands of lists are blocks of the shell."""
    text = (DOCS / page).read_text()
    found = [(match.start(), Block(match[1], match[2].strip(), match[3])) for match in _BLOCK.finditer(text)]
    outside = _BLOCK.sub(lambda match: " " * len(match[0]), text)
    found += [(match.start(), Block("sh", "", match[0])) for match in _INDENTED.finditer(outside)]
    return [block for _, block in sorted(found)]


class Walkthrough:
    """A reader's machine: a folder as home, one server at a time, and stand-ins for missing programs.

    System paths are below the folder, ports are free ones, and `docker.io` is the registry `upstream`.
    """

    def __init__(self, folder: Path, upstream: str = "") -> None:
        """Use an empty folder; without `upstream` there is no `docker.io`."""
        self.folder = folder
        self.port = free_port()
        self.output = ""
        """The output of the commands so far."""
        self._server: subprocess.Popen[bytes] | None = None
        self._log = folder / "server.log"
        self._places = {
            "/etc/zot": str(folder / "etc" / "zot"),
            "/var/lib/registry": str(folder / "registry"),
            "/backup": str(folder / "backup"),
            "8080": str(self.port),
            "5000": str(self.port),
        }
        for name in ("bin", "docker", "etc/zot", ".config/containers"):
            (folder / name).mkdir(parents=True)
        self._environment = os.environ | {
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "DOCKER_IMAGES": str(folder / "docker"),
            "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
            "XDG_CONFIG_HOME": str(folder / ".config"),
        }
        (folder / ".config" / "containers" / "registries.conf").write_text(
            f'[[registry]]\nprefix = "docker.io"\nlocation = "{upstream}"\ninsecure = true\n' if upstream else ""
        )
        self.program("docker", _DOCKER)

    def program(self, name: str, script: str = "#!/bin/sh\n") -> None:
        """Replace a program of the machine by a script, which by default does nothing."""
        path = self.folder / "bin" / name
        path.write_text(script)
        path.chmod(0o755)

    def here(self, text: str) -> str:
        """Return the text with paths and ports of this machine."""
        for place, substitute in self._places.items():
            text = text.replace(place, substitute)
        return text

    def follow(self, *steps: Block) -> None:
        """Run the blocks; a configuration among them becomes `config.json`."""
        for step in steps:
            # A piece of a configuration begins with the name of its key.
            whole = step.language == "json" and step.text.startswith("{")
            if whole and {"storage", "http"} <= json.loads(step.text).keys():
                self.configure(json.loads(self.here(step.text)))
            if step.language == "sh":
                if step.note == "stopped":
                    self.stop()
                self._shell(self.here(step.text))

    def configure(self, tree: dict[str, Any]) -> None:
        """Write `config.json`."""
        (self.folder / "config.json").write_text(json.dumps(tree, indent=2))

    def _shell(self, text: str) -> None:
        before: list[str] = []
        for line in text.splitlines():
            if not line.strip().startswith("zot serve"):
                before.append(line)
                continue
            self.run("\n".join(before))
            before.clear()
            self.serve(*line.partition("#")[0].split()[2:])
        self.run("\n".join(before))

    def run(self, script: str) -> str:
        """Run a script; all of its commands have to succeed."""
        if not script.strip():
            return ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}\n{self.log()}"
        self.output += done.stdout + done.stderr
        return done.stdout

    def serve(self, *arguments: str) -> None:
        """Start the server, in place of the running one, and wait until it serves."""
        self.stop()
        if not arguments:
            # The embedded configuration, on a free port.
            self._default().write_text(
                json.dumps({"storage": {"rootDirectory": "./zot-data"}, "http": {"port": str(self.port)}})
            )
            arguments = (str(self._default()),)
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["zot", "serve", "--workers", "0", *arguments],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                executable=str(Path(sys.executable).with_name("zot")),
            )
        until_s = time.monotonic() + _PATIENCE_S
        while "zot serves" not in self.log():
            assert self._server.poll() is None, self.log()
            assert time.monotonic() < until_s, self.log()
            time.sleep(0.01)

    def stop(self) -> None:
        """Send Ctrl-C to the server, if one runs, and wait until it has ended."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(signal.SIGINT)
            assert server.wait(_PATIENCE_S) == 0, self.log()

    def close(self) -> None:
        """Kill the server."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def log(self) -> str:
        """Return the output of the server."""
        return self._log.read_text() if self._log.exists() else ""

    def _default(self) -> Path:
        return self.folder / "default.json"


def small_image(says: str = "hello") -> Image:
    """Return an image that clients can unpack and convert."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = len(says)
        archive.addfile(entry, io.BytesIO(says.encode()))
    layer = gzip.compress(packed.getvalue(), mtime=0)
    files = {"type": "layers", "diff_ids": [sha256(packed.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": files}).encode()
    described = [
        {"mediaType": kind, "digest": sha256(blob), "size": len(blob)}
        for kind, blob in ((CONFIG, config), (f"{LAYER}+gzip", layer))
    ]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
    return Image(json.dumps(manifest).encode(), blobs=(config, layer))
