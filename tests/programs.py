"""Find the programs outside Python that tests talk to.

`tests/programs.toml` lists them; `make test-deps` installs them. A test names what it needs with
`@pytest.mark.needs("skopeo", "crane")`, or asks `programs.require("skopeo")` for the path.
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
# Debian keeps servers in /usr/sbin, which is not on everybody's PATH.
PATH = os.pathsep.join([str(GO_BIN), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
INSTALLERS = {"apt": "apt-get", "go": "go", "npm": "npm"}
LACKING = "not installed (make test-deps): "


@functools.cache
def sources() -> dict[str, tuple[str, str]]:
    """Map each known program to what installs it (`apt`, `go` or `npm`) and from what."""
    tables = tomllib.loads((ROOT / "tests" / "programs.toml").read_text())
    return {program: (source, package) for source in INSTALLERS for program, package in tables[source].items()}


def find(program: str) -> Path | None:
    """Give the path of an installed program (of a Node package, its entry file), None if it is not installed.

    Raises KeyError for a program that `programs.toml` does not list.
    """
    source, package = sources()[program]
    if source == "npm":
        entry = NODE_MODULES / program / package
        return entry if entry.exists() and shutil.which("node") else None
    found = shutil.which(program, path=PATH)
    return Path(found) if found else None


def require(program: str) -> Path:
    """Give the path of a program; without it, skip the running test.

    In CI (`CI=true`) it fails the test instead, if `make test-deps` would have installed the program there.
    """
    path = find(program)
    return path or _lacks(program, INSTALLERS[sources()[program][0]])


def require_ldap() -> None:
    """Skip the running test, or fail it, as `require` does, where the extra `ldap` is not installed."""
    if importlib.util.find_spec("bonsai") is None:
        _lacks("the extra ldap", INSTALLERS["apt"])


def _lacks(program: str, installer: str) -> NoReturn:
    if os.environ.get("CI") == "true" and shutil.which(installer):
        pytest.fail(LACKING + program, pytrace=False)
    pytest.skip(LACKING + program)
