"""Fixtures, markers and options of all tests."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

import programs

pytest_plugins = [
    "certificates",
    "clients",
    "servers.docker_registry",
    "servers.moto",
    "servers.nats",
    "servers.oidc",
    "servers.postgres",
    "servers.redis",
    "servers.slapd",
    "servers.versitygw",
]

# The time of an example depends on the machine, not on the code: no test depends on it.
hypothesis.settings.register_profile("zot", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("zot")


# A sync to a disk takes milliseconds, and tests make hundreds of thousands. What would survive a power loss is computed
# by the crash tests from the calls, wherever the files are. A TMPDIR that is set is used as it is.
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 4 << 30
"""More than all tests that run at a time keep in files."""
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES:
    os.environ["TMPDIR"] = str(_MEMORY)  # for the programs that tests start, too
    tempfile.tempdir = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --torture, which runs the crash tests at length."""
    parser.addoption("--torture", action="store_true", help="run crash tests at the length of `make torture`")


@pytest.fixture(scope="session")
def torture(request: pytest.FixtureRequest) -> bool:
    """Whether the run is `make torture`: crash tests then run for hours instead of seconds."""
    asked: bool = request.config.getoption("--torture")
    return asked


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers (--strict-markers refuses any other)."""
    config.addinivalue_line("markers", "needs(*programs): the test runs these programs of tests/programs.toml")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose `needs` are not installed, or fail it in CI."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            programs.require(program)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each missing program with the number of tests that were skipped without it."""
    skipped: Counter[str] = Counter()
    for report in terminalreporter.getreports("skipped"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
        _, lacking, program = reason.partition(programs.LACKING)
        skipped.update([program] if lacking else [])
    for program, tests in sorted(skipped.items()):
        terminalreporter.write_line(f"{program} is not installed, {tests} tests skipped: make test-deps", yellow=True)
