"""A registry and the real clients that use it."""

from __future__ import annotations

from pathlib import Path

from clients import Clients
from http_client import Client

USER, PASSWORD = "alice", "wonderland"


class Site:
    """A registry and clients with the options to reach it."""

    def __init__(self, host: str, client: Client, clients: Clients, *, secure: bool) -> None:
        self.host = host
        self.client = client
        self.clients = clients
        self.secure = secure

    @property
    def folder(self) -> Path:
        """The working directory of the clients."""
        return self.clients.folder

    def run(self, program: str, *arguments: str | Path, stdin: str = "") -> str:
        """Run a client with its options for this registry; raise AssertionError if it fails."""
        return self.clients.run(program, *self._complete(program, arguments), stdin=stdin)

    def refused(self, program: str, *arguments: str | Path) -> str:
        """Run a client that must fail, and return its error message."""
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

    def log_in_if_secure(self) -> None:
        """Log in with each client if the registry has passwords."""
        if self.secure:
            self.log_in()

    def log_in(self) -> None:
        """Log in with each client."""
        self.run("skopeo", "login", "--username", USER, "--password", PASSWORD, self.host)
        self.run("crane", "auth", "login", self.host, "--username", USER, "--password", PASSWORD)
        self.run("oras", "login", self.host, "--username", USER, "--password-stdin", stdin=PASSWORD)
        self.run("regctl", "registry", "login", self.host, "--user", USER, "--pass-stdin", stdin=PASSWORD)
        self.run("helm", "registry", "login", self.host, "--username", USER, "--password-stdin", stdin=PASSWORD)
        if self.secure:  # it cannot log in over HTTP; there it uses the credentials stored by crane
            self.run("cosign", "login", self.host, "--username", USER, "--password", PASSWORD)
