"""Run the command-line clients of registries (skopeo, crane, oras, regctl, helm, cosign) as their users do.

For a registry without TLS on the loopback address crane and regctl need `--insecure` or
`--host reg=ADDRESS,tls=disabled`, skopeo `--dest-tls-verify=false` or `--src-tls-verify=false`, oras and helm
`--plain-http`, cosign `--allow-http-registry`.
"""

import subprocess
from pathlib import Path

import pytest

import programs

LIMIT_S = 60


class Clients:
    """Runs clients that keep credentials and configuration in `folder`, not in the user's home."""

    def __init__(self, folder: Path, trust: Path | None = None) -> None:
        """Use `folder` as their home; they accept certificates of the authority `trust`."""
        self.folder = folder
        self.env = {
            "PATH": programs.PATH,
            "HOME": str(folder),
            "DOCKER_CONFIG": str(folder / ".docker"),
            "XDG_CONFIG_HOME": str(folder / ".config"),
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "XDG_DATA_HOME": str(folder / ".local"),
            "REGISTRY_AUTH_FILE": str(folder / ".docker" / "config.json"),
            "COSIGN_PASSWORD": "",
            **({"SSL_CERT_FILE": str(trust)} if trust else {}),
        }

    def run(self, program: str, *arguments: str | Path, stdin: str = "") -> str:
        """Run a client to its end and return its output; AssertionError, with its error output, if it fails."""
        done = self._run(program, arguments, stdin)
        assert done.returncode == 0, f"{program} {' '.join(map(str, arguments))}\n{done.stderr}{done.stdout}"
        return done.stdout

    def refused(self, program: str, *arguments: str | Path, stdin: str = "") -> str:
        """Run a client that must fail, and return its error output; AssertionError if it succeeds."""
        done = self._run(program, arguments, stdin)
        assert done.returncode != 0, f"{program} {' '.join(map(str, arguments))} succeeded\n{done.stdout}"
        return done.stderr + done.stdout

    def _run(self, program: str, arguments: tuple[str | Path, ...], stdin: str) -> "subprocess.CompletedProcess[str]":
        command = [str(programs.require(program)), *map(str, arguments)]
        return subprocess.run(
            command,
            input=stdin,
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    """Clients with a temporary home."""
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    return Clients(home)
