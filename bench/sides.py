"""The programs that are measured: this registry, Docker's, and one that runs already."""

import http.client
import json
import os
import shlex
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.registries import USER, Registry, Setup, loopback
from servers.process import Process, accepts


class Zot:
    """This registry, or another program with zot's command line and configuration."""

    def __init__(self, command: str, name: str = "zot") -> None:
        """Take the command that `serve FILE` is added to."""
        self.command = shlex.split(command)
        self.name = name

    def can(self, setup: Setup) -> bool:
        """Tell whether it can run like this: in every way."""
        del setup
        return True

    def url(self, port: int, setup: Setup) -> str:
        """Return where it then is."""
        return loopback(port, setup)

    def process(self, folder: Path, port: int, setup: Setup) -> Process:
        """Return `zot serve` with a configuration of its own; it is ready when /readyz says so."""
        config = folder / f"config-{port}.json"
        config.write_text(json.dumps(_zot_settings(folder / "data", port, setup), indent=2))
        registry = Registry(self.name, self.url(port, setup), {})
        command = [*self.command, "serve", str(config)]
        return Process(command, log=folder / f"zot-{port}.log", ready=lambda: _is_ready(registry))


def _zot_settings(data: Path, port: int, setup: Setup) -> dict[str, Any]:
    storage: dict[str, Any] = {"rootDirectory": str(data), "gc": False}
    listener: dict[str, Any] = {"address": "127.0.0.1", "port": str(port)}
    extensions: dict[str, Any] = {}
    settings: dict[str, Any] = {
        "storage": storage,
        "http": listener,
        "log": {"level": "info" if setup.access_log else "error"},
        "extensions": extensions,
    }
    if setup.catalog:
        name = setup.catalog.partition(":")[0]
        storage |= {"remoteCache": True, "cacheDriver": {"name": name, "url": setup.catalog}}
    if not setup.commit:
        storage["commit"] = False
    if setup.workers is not None:
        listener["workers"] = setup.workers
    if setup.certificate:
        certificate, key = map(str, setup.certificate)
        listener["tls"] = {"cert": certificate, "key": key}
    if setup.htpasswd:
        listener["auth"] = {"htpasswd": {"path": str(setup.htpasswd)}}
    if setup.policy:
        actions = ["read", "create", "update"]
        rule = {"policies": [{"users": [USER], "actions": actions}]} if setup.htpasswd else {"anonymousPolicy": actions}
        listener["accessControl"] = {"repositories": {"**": rule}}
        extensions["metrics"] = {"enable": True}
    if setup.search:
        extensions["search"] = extensions["ui"] = {"enable": True}
    return settings


def _is_ready(registry: Registry) -> bool:
    try:
        with Client(registry) as client:
            return client.ask("GET", "/readyz").status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


class DockerRegistry:
    """Docker's registry, as Debian packages it."""

    name = "docker-registry"

    def __init__(self, program: str) -> None:
        """Take the path of the program."""
        self.program = program

    def can(self, setup: Setup) -> bool:
        """Tell whether it can run like this: one process, one way to commit, no catalog, no search."""
        return setup.commit and setup.workers is None and not setup.search and not setup.catalog

    def url(self, port: int, setup: Setup) -> str:
        """Return where it then is."""
        return loopback(port, setup)

    def process(self, folder: Path, port: int, setup: Setup) -> Process:
        """Return `docker-registry serve` with a configuration of its own."""
        config = folder / f"config-{port}.yml"
        # JSON is YAML, and spares the quoting.
        config.write_text(json.dumps(_docker_settings(folder / "data", port, setup)))
        return Process(
            [self.program, "serve", config],
            log=folder / f"docker-registry-{port}.log",
            ready=lambda: accepts(port),
            env={"OTEL_TRACES_EXPORTER": "none"},
        )


def _docker_settings(data: Path, port: int, setup: Setup) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info" if setup.access_log else "error", "accesslog": {"disabled": not setup.access_log}},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": os.urandom(8).hex()},
    }
    if setup.certificate:
        certificate, key = map(str, setup.certificate)
        settings["http"]["tls"] = {"certificate": certificate, "key": key}
    if setup.htpasswd:
        settings["auth"] = {"htpasswd": {"realm": "bench", "path": str(setup.htpasswd)}}
    return settings


class Running:
    """A registry that runs already, measured as it is."""

    def __init__(self, url: str) -> None:
        """Take its URL, which also names it."""
        self.name = url.rstrip("/")

    def can(self, setup: Setup) -> bool:
        """Tell whether it can run like this: only in a way that does not show from outside."""
        return setup in (Setup(), Setup(access_log=True, policy=True))

    def url(self, port: int, setup: Setup) -> str:
        """Return where it is."""
        del port, setup
        return self.name

    def process(self, folder: Path, port: int, setup: Setup) -> None:
        """Return that nothing has to be started."""
        del folder, port, setup
