"""Find the programs outside Python that tests talk to.

`tests/programs.toml` lists them; `make test-deps` installs them. A test declares the programs that it needs by
`@pytest.mark.needs("skopeo", "crane")`, or gets a path from `programs.require("skopeo")`.
"""

import functools
import importlib.util
import os
import shutil
import tomllib
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
GO_BIN = ROOT / ".cache" / "bin"
NODE_MODULES = ROOT / ".cache" / "node" / "node_modules"
# Debian keeps servers in /usr/sbin, and PostgreSQL's in a folder of its version, which are not on the PATH.
POSTGRES_BIN = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))[-1:]
PATH = os.pathsep.join([str(GO_BIN), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", *POSTGRES_BIN])
INSTALLERS = {"apt": "apt-get", "go": "go", "npm": "npm"}
LACKING = "not installed (make test-deps): "


@functools.cache
def sources() -> dict[str, tuple[str, str]]:
    """Return for each known program its installer (`apt`, `go` or `npm`) and its package."""
    tables = tomllib.loads((ROOT / "tests" / "programs.toml").read_text())
    return {program: (source, package) for source in INSTALLERS for program, package in tables[source].items()}


def find(program: str) -> Path | None:
    """Return the path of an installed program (of a Node package, its entry file), or None.

    Raises KeyError for a program that `programs.toml` does not list.
    """
    source, package = sources()[program]
    if source == "npm":
        entry = NODE_MODULES / program / package
        return entry if entry.exists() and shutil.which("node") else None
    found = shutil.which(program, path=PATH)
    return Path(found) if found else None


def require(program: str) -> Path:
    """Return the path of a program, or skip the running test if it is not installed.

    In CI (`CI=true`) it fails the test instead, if `make test-deps` would have installed the program there.
    """
    path = find(program)
    return path or _lacks(program, INSTALLERS[sources()[program][0]])


def require_ldap() -> None:
    """Skip or fail the running test, as `require` does, if the extra `ldap` is not installed."""
    if importlib.util.find_spec("bonsai") is None:
        _lacks("the extra ldap", INSTALLERS["apt"])


def _lacks(program: str, installer: str) -> NoReturn:
    if os.environ.get("CI") == "true" and shutil.which(installer):
        pytest.fail(LACKING + program, pytrace=False)
    pytest.skip(LACKING + program)
