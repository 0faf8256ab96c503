"""A registry, and real clients that know how to reach it."""

from __future__ import annotations

from pathlib import Path

from clients import Clients
from http_client import Client

USER, PASSWORD = "alice", "wonderland"


class Site:
    """A registry, and clients that know how to reach it."""

    def __init__(self, host: str, client: Client, clients: Clients, *, secure: bool) -> None:
        """Take clients that have a home of their own, and an own one of the tests."""
        self.host = host
        self.client = client
        self.clients = clients
        self.secure = secure

    @property
    def folder(self) -> Path:
        """Where clients work."""
        return self.clients.folder

    def run(self, program: str, *arguments: str | Path, stdin: str = "") -> str:
        """Run a client, with what it needs to talk to this registry; AssertionError if it fails."""
        return self.clients.run(program, *self._complete(program, arguments), stdin=stdin)

    def refused(self, program: str, *arguments: str | Path) -> str:
        """Run a client that must fail, and give its complaint."""
        return self.clients.refused(program, *self._complete(program, arguments))

    def _complete(self, program: str, arguments: tuple[str | Path, ...]) -> list[str | Path]:
        if self.secure:
            return list(arguments)
        command, *rest = arguments
        match program:
            case "crane":
                return [*arguments, "--insecure"]
            case "regctl":
                return ["--host", f"reg={self.host},tls=disabled", *arguments]
            case "skopeo":
                flags = ["--src-tls-verify=false", "--dest-tls-verify=false"]
                return [command, *(flags if command == "copy" else ["--tls-verify=false"]), *rest]
            case "cosign":
                return [command, "--allow-http-registry", *rest]
            case "oras" | "helm":
                return [*arguments, "--plain-http"]
        raise AssertionError(program)

    def login(self) -> None:
        """Log in with each of the clients, in its own way, with the right password."""
        if self.secure:
            self.log_in()

    def log_in(self) -> None:
        """Log in with each of the clients, whatever the registry."""
        self.run("skopeo", "login", "--username", USER, "--password", PASSWORD, self.host)
        self.run("crane", "auth", "login", self.host, "--username", USER, "--password", PASSWORD)
        self.run("oras", "login", self.host, "--username", USER, "--password-stdin", stdin=PASSWORD)
        self.run("regctl", "registry", "login", self.host, "--user", USER, "--pass-stdin", stdin=PASSWORD)
        self.run("helm", "registry", "login", self.host, "--username", USER, "--password-stdin", stdin=PASSWORD)
        if self.secure:  # else it has no way to; it reads what crane has kept
            self.run("cosign", "login", self.host, "--username", USER, "--password", PASSWORD)
