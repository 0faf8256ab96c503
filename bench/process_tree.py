"""A server's processes, and the processor time that each kind of them has used, as the kernel accounts it (Linux)."""

import os
import time
from collections import Counter
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Longer than the quiet that an export waits for; of what a server does in that time, little is due to requests.
_QUIET_S = 2.5
_QUIET_TICKS = 2
_SETTLE_LIMIT_S = 30.0


def descendants(pid: int) -> list[int]:
    """Return the process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = _stat(int(path.parent.name))
        if fields:
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def processor_ms(pid: int) -> Counter[str]:
    """Return the milliseconds used so far by kind of process: `supervisor`, `worker`, or the name of the program.

    Children that have ended count for the parent that waited for them. The kernel counts in ticks of some 10 ms.
    """
    used: Counter[str] = Counter()
    found = descendants(pid)
    for each in found:
        kind = "supervisor" if each == pid and len(found) > 1 else _kind(each)
        if fields := _stat(each):
            used[kind] += sum(map(int, fields[11:15])) * 1000 // _TICKS_PER_S
    return used


def settle(pid: int) -> None:
    """Wait until the server has finished what it does after its answers, such as exports; give up after 30 s."""
    give_up = time.monotonic() + _SETTLE_LIMIT_S
    used_ms = processor_ms(pid).total()
    while time.monotonic() < give_up:
        time.sleep(_QUIET_S)
        before_ms, used_ms = used_ms, processor_ms(pid).total()
        if used_ms - before_ms <= _QUIET_TICKS * 1000 // _TICKS_PER_S:
            return


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on, none if the process has ended."""
    try:
        # The name in parentheses may hold anything, so count from behind it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _kind(pid: int) -> str:
    """Return what a process shows as its name, without the number that tells it from others of its kind."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return name.removeprefix("zot ").rstrip("0123456789- ")
