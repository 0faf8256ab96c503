"""Memory of a server with all its processes, as the kernel accounts it (Linux)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process_tree import descendants

_INTERVAL_S = 0.05


def pss_mb(pid: int) -> float:
    """Return the proportional set size of the process and its descendants, in MB: shared pages count once."""
    return sum(map(_pss_kib, descendants(pid))) * 1024 / 1e6


class Peak:
    """The highest memory seen by `watching`."""

    def __init__(self, first_mb: float) -> None:
        """Start from what is used now."""
        self.mb = first_mb


@contextmanager
def watching(pid: int) -> Iterator[Peak]:
    """Look at the memory of `pid` and its descendants until the context ends, some twenty times a second."""
    peak = Peak(pss_mb(pid))
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_INTERVAL_S):
            peak.mb = max(peak.mb, pss_mb(pid))

    watcher = threading.Thread(target=watch, name="bench-memory")
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
