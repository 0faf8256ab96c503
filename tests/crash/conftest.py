"""Fixtures of crash tests: a stage in memory, a seed, and the figures of the run at its end."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.stage import Stage, quietly
from zot.registry import uploads

# A file system in memory: what would reach a disk is computed by the tests themselves.
_MEMORY = Path("/dev/shm")
_FIGURE = "figure: "
_SEED = 1

# Some of these tests start stores hundreds of times. That is seconds of work, and minutes on a busy machine.
_TIMEOUT_S = 900


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --crash-seed, which can be given where these tests are named."""
    parser.addoption("--crash-seed", type=int, default=_SEED, help="seed of what crash tests choose by chance")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the tests of this directory a longer timeout, unless the command line sets one."""
    if config.getoption("timeout") is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of random choices, so that a run can be repeated."""
    return _seed(request.config)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A directory for stores, with logging turned off."""
    # No other client finishes an upload here.
    monkeypatch.setattr(uploads, "_FINISHING_S", 0.0)
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as directory, quietly():
        stage = Stage(Path(directory))
        yield stage
        stage.pools.close()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Counts something for the figures at the end of the run."""
    return Figure(request.node)


class Figure:
    """Adds to figures, which are summed over all tests and processes."""

    def __init__(self, test: pytest.Item) -> None:
        """Count for one test."""
        self._test = test

    def __call__(self, name: str, number: int) -> None:
        """Add to a figure."""
        self._test.user_properties.append((f"{_FIGURE}{name}", number))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures, and the seed that repeats them."""
    figures: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if report.when == "call":
                figures.update(
                    {
                        name.removeprefix(_FIGURE): number
                        for name, number in _summed(report.user_properties).items()
                        if name.startswith(_FIGURE)
                    }
                )
    if not figures:
        return
    terminalreporter.section("crashes")
    for name, number in figures.items():
        terminalreporter.write_line(f"{number:>9,}  {name}")
    terminalreporter.write_line(f"seed {_seed(config)}, commit {_commit(config.rootpath)}")


def _seed(config: pytest.Config) -> int:
    # A run of all tests comes by this file too late to have the option.
    chosen: int = config.getoption("--crash-seed", _SEED)
    return chosen


def _summed(properties: list[tuple[str, object]]) -> Counter[str]:
    summed: Counter[str] = Counter()
    for name, number in properties:
        if isinstance(number, int):
            summed[name] += number
    return summed


def _commit(root: Path) -> str:
    asked = ["git", "-C", os.fspath(root), "describe", "--always", "--dirty", "--abbrev=12"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
