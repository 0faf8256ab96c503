"""What the disk itself gives, without any registry: the measure of what is durable."""

import os
import time
from pathlib import Path

PAGE_BYTES = 4096


def fsync_ms(folder: Path) -> float:
    """Return the milliseconds that it takes to append one page to a file in `folder` and to fsync it."""
    with (folder / "fsync").open("ab", buffering=0) as file:
        page = os.urandom(PAGE_BYTES)
        started = time.perf_counter()
        file.write(page)
        os.fsync(file.fileno())
        return (time.perf_counter() - started) * 1000


def write_seconds(folder: Path, content: bytes | bytearray) -> float:
    """Return the seconds that it takes to write the content to a new file in `folder` and to fsync it."""
    path = folder / "written"
    started = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[file.write(remaining) :]
        os.fsync(file.fileno())
    elapsed = time.perf_counter() - started
    path.unlink()
    return elapsed
