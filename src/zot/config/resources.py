"""Number of worker processes for the cores and memory of the machine or container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zot.config.own_keys import MIB

if TYPE_CHECKING:
    from zot.config.http import HttpConfig

WORKERS_LIMIT = 4
# Below either limit the whole server is one process.
SMALL_CPUS = 2
SMALL_BYTES = 512 * MIB

CGROUP = Path("/sys/fs/cgroup")


def worker_count(http: HttpConfig) -> int:
    """Return the number of processes that serve requests; 0 means one process for the whole server."""
    if http.workers is not None:
        return http.workers
    cpus, memory_bytes = available_cpus(), available_bytes()
    if cpus < SMALL_CPUS or memory_bytes < SMALL_BYTES:
        return 0
    return min(int(cpus), WORKERS_LIMIT)


def available_cpus(cgroup: Path = CGROUP) -> float:
    """Return the number of usable cores, by CPU affinity and by the cgroup's quota (v2 or v1)."""
    cpus = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _words(cgroup / "cpu.max") or [
        *_words(cgroup / "cpu/cpu.cfs_quota_us"),
        *_words(cgroup / "cpu/cpu.cfs_period_us"),
    ]
    if len(quota) == 2 and quota[0].isdigit() and int(quota[1]) > 0:
        cpus = min(cpus, int(quota[0]) / int(quota[1]))
    return cpus


def available_bytes(cgroup: Path = CGROUP) -> int:
    """Return the machine's memory, or the cgroup's limit (v2 or v1) if that is less."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _words(cgroup / "memory.max") or _words(cgroup / "memory/memory.limit_in_bytes")
    return min(memory, int(limit[0])) if limit and limit[0].isdigit() else memory


def _words(path: Path) -> list[str]:
    """Return the words of a one-line file; an empty list if it cannot be read."""
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
