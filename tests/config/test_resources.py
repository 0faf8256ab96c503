"""The number of workers follows the cores and memory of the machine or cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from zot.config import resources
from zot.config.http import HttpConfig
from zot.config.resources import available_bytes, available_cpus, worker_count

GIB = 1 << 30


def cgroup(directory: Path, files: dict[str, str]) -> Path:
    """Create a cgroup with these files."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="ascii")
    return directory


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "50000 100000"}, 0.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "100000"}, 0.25),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_cpus(tmp_path: Path, files: dict[str, str], limit: float | None) -> None:
    """The cores are limited by the cgroup's quota, in both versions, else by the machine."""
    machine = available_cpus(tmp_path / "none")
    assert machine >= 1
    assert available_cpus(cgroup(tmp_path, files)) == (machine if limit is None else limit)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "1048576"}, 1 << 20),
        ({"memory.max": "max"}, None),
        ({"memory/memory.limit_in_bytes": "2097152"}, 2 << 20),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ({}, None),
    ],
)
def test_memory(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    """The memory is limited by the cgroup, in both versions, else by the machine."""
    machine = available_bytes(tmp_path / "none")
    assert available_bytes(cgroup(tmp_path, files)) == (machine if limit is None else limit)


@pytest.mark.parametrize(
    ("cpus", "memory_bytes", "workers"),
    [(1.5, 8 * GIB, 0), (2, 8 * GIB, 2), (2, GIB // 4, 0), (3.9, GIB, 3), (64, 64 * GIB, 4)],
)
def test_workers(monkeypatch: pytest.MonkeyPatch, cpus: float, memory_bytes: int, workers: int) -> None:
    """There is one worker per core, at most four, and none on a small machine; a configured number is used."""
    monkeypatch.setattr(resources, "available_cpus", lambda: cpus)
    monkeypatch.setattr(resources, "available_bytes", lambda: memory_bytes)
    assert worker_count(HttpConfig()) == workers
    assert worker_count(HttpConfig(workers=7)) == 7
    assert worker_count(HttpConfig(workers=0)) == 0
