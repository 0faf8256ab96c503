"""Install what tests/programs.toml lists and this machine lacks: with apt, go and npm, whichever are here.

A second run finds everything in place and takes a second. A program that can't be had is said and left
out: its tests then skip, and fail when CI=true.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
GO_BIN = CACHE / "bin"
NODE = CACHE / "node"
LOCKED_NODE = ROOT / "tests" / "npm"


def main() -> int:
    """Install all there is to install; 1 if something that should have worked did not."""
    programs = tomllib.loads((ROOT / "tests" / "programs.toml").read_text())
    CACHE.mkdir(exist_ok=True)
    failed = [*apt(programs["apt"], programs["apt-headers"]), *go(programs["go"]), *npm()]
    for name in failed:
        say(f"not installed: {name}")
    return 1 if failed else 0


def apt(programs: dict[str, str], headers: dict[str, str]) -> list[str]:
    """Install the Debian packages whose program or header file is not here; those that failed."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = sorted(
        {package for program, package in programs.items() if not shutil.which(program, path=path)}
        | {package for file, package in headers.items() if not Path(file).exists()}
    )
    if not missing:
        return []
    if not shutil.which("apt-get") or os.geteuid() != 0:
        say(f"needs a Debian machine and root; install by hand: apt-get install {' '.join(missing)}")
        return []
    # Packages of servers would start them: tests start their own, on ports of their own.
    policy = Path("/usr/sbin/policy-rc.d")
    own_policy = not policy.exists()
    if own_policy:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = run("apt", ["apt-get", "update"], quiet) and run(
            "apt", ["apt-get", "install", "--yes", "--no-install-recommends", *missing], quiet
        )
    finally:
        if own_policy:
            policy.unlink()
    return [] if done else missing


def go(programs: dict[str, str]) -> list[str]:
    """Build each Go program that is not in .cache/bin at its version; those that failed."""
    wanted = {name: package for name, package in programs.items() if built_version(GO_BIN / name) != package}
    if not wanted:
        return []
    if not shutil.which("go"):
        say(f"no Go here, left out: {', '.join(wanted)}")
        return []
    env = {**os.environ, "GOBIN": str(GO_BIN), "GOMAXPROCS": "2", "CGO_ENABLED": "0"}
    return [name for name, package in wanted.items() if not run(name, ["go", "install", "-p", "2", package], env)]


def built_version(program: Path) -> str | None:
    """`package@version` that a Go program was built from, None if there is no such program."""
    if not program.exists() or not shutil.which("go"):
        return None
    told = subprocess.run(["go", "version", "-m", str(program)], capture_output=True, text=True, check=False).stdout
    package = version = ""
    for line in told.splitlines():
        match line.strip().split("\t"):
            case ["path", package]:
                pass
            case ["mod", _, version, *_]:
                pass
    return f"{package}@{version}"


def npm() -> list[str]:
    """Install the locked Node packages into .cache/node unless that lock is installed already."""
    lock = (LOCKED_NODE / "package-lock.json").read_text()
    installed = NODE / "installed-lock.json"
    if installed.exists() and installed.read_text() == lock:
        return []
    if not shutil.which("npm"):
        say("no npm here, left out: " + ", ".join(json.loads(lock)["packages"][""]["dependencies"]))
        return []
    NODE.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCKED_NODE / name, NODE / name)
    command = ["npm", "ci", "--prefix", str(NODE), "--ignore-scripts", "--no-audit", "--no-fund"]
    if not run("npm", command, dict(os.environ)):
        return ["the packages of tests/npm"]
    installed.write_text(lock)
    return []


def run(name: str, command: list[str], env: dict[str, str]) -> bool:
    """Run one installer, twice if it must be, with its output in .cache/test-deps-NAME.log; True if it succeeded."""
    log = CACHE / f"test-deps-{name}.log"
    return attempt(command, env, log) or attempt(command, env, log)


def attempt(command: list[str], env: dict[str, str], log: Path) -> bool:
    """Run one installer and say how it went."""
    say(" ".join(command))
    started_s = time.monotonic()
    with log.open("a") as out:
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, check=False
        ).returncode
    say(f"  {'done' if code == 0 else f'failed, see {log}'} in {time.monotonic() - started_s:.0f} s")
    if code != 0:
        say("\n".join(log.read_text().splitlines()[-15:]))
    return code == 0


def say(text: str) -> None:
    """Print a line at once: a build may follow that takes minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
