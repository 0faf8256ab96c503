"""The repair of a damaged database, while the writer refuses changes."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import BinaryIO

import apsw

from zot.catalog.interface import CatalogError
from zot.catalog.sqlite.directory import is_locked_by
from zot.catalog.sqlite.recovery import mend


class Repair(Thread):
    """A thread that checks the whole database, and rebuilds it if it is damaged."""

    def __init__(self, path: Path, boot: str, lock: BinaryIO) -> None:
        """Begin at once. `lock` is the writer's: it tells whether the directory is still the same one."""
        super().__init__(name="catalog-mending", daemon=True)
        self._path = path
        self._boot = boot
        self._lock = lock
        self.error: Exception | None = None
        """Why it failed; to be asked once it has ended."""
        self.start()

    def run(self) -> None:
        """Mend it."""
        try:
            mend(self._path, self._boot, is_ours=is_locked_by(self._path.parent, self._lock))
        except (apsw.Error, OSError, CatalogError) as error:
            self.error = error
