"""Load of small GETs at full speed: by wrk if it is installed, else by sockets of our own."""

import shutil
from dataclasses import dataclass

from bench import sockets, wrk
from bench.registries import Registry

CONNECTIONS = 8


@dataclass(frozen=True)
class Target:
    """What is asked for: a path in which `{}` stands for a number below `count`, drawn for each request."""

    path: str
    count: int = 1


@dataclass(frozen=True)
class Load:
    """What a run of load gave."""

    per_second: float
    p99_ms: float


def generator() -> str:
    """Return the name of what makes the load here."""
    return "wrk" if shutil.which("wrk") else "sockets"


def get(registry: Registry, target: Target, duration_s: int, connections: int = CONNECTIONS) -> Load:
    """Send GETs over `connections` connections, the next as soon as the last is answered, for `duration_s`.

    Raises UnexpectedAnswerError if any is not answered with 200.
    """
    run = wrk.run if shutil.which("wrk") else sockets.run
    per_second, p99_ms = run(registry, target.path, target.count, duration_s, connections)
    return Load(per_second, p99_ms)
