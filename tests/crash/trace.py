"""The operations of a scenario on the disk, in order, and the answers to its clients between them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from crash.expected import Step


class Change(NamedTuple):
    """An operation that changed the disk, or made changes survive. `inode` is that of the file, whatever its name."""

    verb: str
    path: str
    target: str = ""
    offset: int = 0
    data: bytes = b""
    inode: int = 0

    def __str__(self) -> str:
        """The line of a report about a lost state."""
        size = f" {len(self.data)} bytes" if self.verb == "write" else ""
        place = f" at {self.offset}" if self.verb in {"write", "truncate"} else ""
        return f"{self.verb} {self.path}{f' -> {self.target}' if self.target else ''}{size}{place}"


class Began(NamedTuple):
    """A request was sent."""

    step: Step


class Acknowledged(NamedTuple):
    """Its answer arrived: from here on its effect must be there."""

    step: Step


Event = Change | Began | Acknowledged


class BaseFile(NamedTuple):
    """A file of the tree from which a trace starts; None: a directory."""

    inode: int
    content: bytes | None


@dataclass
class Trace:
    """A tree that is completely on the disk, and the later events. Paths are relative to the tree's root."""

    root: Path
    base: dict[str, BaseFile]
    events: list[Event] = field(default_factory=list)
    killed_at: int = 0
    """How many events came before the process was killed; 0: it was not."""
    lock: RLock = field(default_factory=RLock)
    """Held over each operation and its entry, so that their order is the order in which they happened."""

    def add(self, event: Event) -> None:
        """Add an event."""
        with self.lock:
            self.events.append(event)

    def relative(self, path: str) -> str:
        """Return a path within the tree."""
        inside = path.removeprefix(str(self.root))
        assert inside != path, f"{path} is outside of {self.root}"
        return inside.lstrip("/")


def begin_trace(root: Path) -> Trace:
    """Read the tree as it is, with no open file in it. The index of SQLite's log is memory, no file."""
    base = {"": BaseFile(root.stat().st_ino, None)}
    for directory, directories, files in os.walk(root):
        for name in sorted(directories):
            path = Path(directory, name)
            base[str(path.relative_to(root))] = BaseFile(path.stat().st_ino, None)
        for name in sorted(files):
            path = Path(directory, name)
            if not name.endswith("-shm"):
                base[str(path.relative_to(root))] = BaseFile(path.stat().st_ino, path.read_bytes())
    return Trace(root, base)
