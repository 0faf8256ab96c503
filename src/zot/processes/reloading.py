"""Following the files that a server was configured by."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from zot.auth.cel import condition
from zot.auth.check import check_files
from zot.config.changes import changes
from zot.config.errors import ConfigurationError
from zot.config.load import load
from zot.config.model import Config
from zot.config.secret_files import secret_paths
from zot.config.watch import Watch

_log = logging.getLogger("zot.reload")

Apply = Callable[[Config], Awaitable[None]]
OnFile = Callable[[], object]


class Reloading:
    """Watches the configuration, the secrets that it names, and whatever else is given."""

    def __init__(self, file: Path | None, config: Config, apply: Apply, others: Iterable[tuple[Path, OnFile]]) -> None:
        """Take the file (None: nothing to follow but `others`), what it said, and what to do about changes.

        `apply` is given a configuration whose reloadable keys are those of the file; each of `others` is called when
        its file changed.
        """
        self._file = file
        self._config = config
        self._apply = apply
        self._others = tuple(others)
        self._watch = Watch(self._paths())

    async def run(self) -> None:
        """Apply changes as they come, until cancelled. What cannot be used is logged, and the old stays."""
        async for changed in self._watch.changes():
            for path, on_file in self._others:
                if path in changed:
                    on_file()
            if self._file is not None and changed & {self._file, *secret_paths(self._config.http.auth)}:
                await self._reload(self._file)

    async def _reload(self, file: Path) -> None:
        try:
            loaded = load(file, condition)
            if loaded.config.http.auth != self._config.http.auth:
                check_files(loaded.config.http.auth)
            found = changes(self._config, loaded.config)
        except ConfigurationError as error:
            _log.error("configuration not reloaded, the old one stays: %s", error)
            return
        if found.ignored:
            _log.warning("these changes take effect after a restart: %s", ", ".join(found.ignored))
        if not found.reloaded:
            return
        await self._apply(found.config)
        self._config = found.config
        self._watch.follow(self._paths())
        for warning in loaded.warnings:
            _log.warning("%s", warning)
        _log.info("configuration reloaded: %s", ", ".join(found.reloaded))

    def _paths(self) -> list[Path]:
        own = [] if self._file is None else [self._file, *secret_paths(self._config.http.auth)]
        return [*own, *(path for path, _ in self._others)]
