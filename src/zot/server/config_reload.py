"""Follows the files that configure a server, and applies their changes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from zot.auth.cel import compile_condition
from zot.auth.check import check_files
from zot.config.errors import ConfigurationError
from zot.config.load import load
from zot.config.model import Config
from zot.config.reload_diff import Changes, changes
from zot.config.watch import Watch
from zot.foundation.threads import ThreadPool
from zot.server.plan import ServerPlan
from zot.server.running_state import CERTIFICATE, CONFIG, RunningState, StateReader, StateReport, config_files
from zot.server.tls import Certificates, Pem, TlsError, TlsFiles, validity_warning

_log = logging.getLogger("zot.reload")

Apply = Callable[[Config], Awaitable[None]]


class ConfigReload:
    """Follows the configuration and the secret files that it names.

    Each process of a server does so by itself. One of them, with `logs`, logs what it finds.
    """

    def __init__(
        self, plan: ServerPlan, state: RunningState, apply: Apply, report: StateReport, pool: ThreadPool, *, logs: bool
    ) -> None:
        """`state` has the current configuration; files are read in `pool`.

        `apply` is called with a configuration whose reloadable keys are those of the file.
        """
        self._file = Path(plan.config) if plan.config is not None else None
        self._overrides = plan.overrides
        self._config = state.config
        self._apply = apply
        self._report = report
        self._pool = pool
        self._logs = logs
        self._watch = Watch(config_files(self._file, state.config), state.config_seen)

    async def run(self) -> None:
        """Apply changes until cancelled. A configuration that is not valid is logged, and the old one stays."""
        if self._file is None:
            return
        async for _ in self._watch.changes():
            reader = StateReader()
            try:
                found, warnings = await self._pool.run(self._read, self._file, reader)
                if found.reloaded:
                    await self._apply(found.config)
            except ConfigurationError as error:
                if self._logs:
                    _log.error("configuration not reloaded, the old one stays: %s", error)
                continue
            except Exception:  # noqa: BLE001 (the old configuration goes on)
                _log.exception("configuration not reloaded, the old one stays")
                continue
            self._config = found.config
            self._watch.follow(config_files(self._file, found.config))
            self._log_changes(found, warnings)
            await self._pool.run(self._report, CONFIG, reader.report(self._watch.seen))

    def _read(self, file: Path, reader: StateReader) -> tuple[Changes, tuple[str, ...]]:
        loaded = load(file, compile_condition, overrides=self._overrides, read=reader.read)
        if loaded.config.http.auth != self._config.http.auth:
            check_files(loaded.config.http.auth)
        return changes(self._config, loaded.config), loaded.warnings

    def _log_changes(self, found: Changes, warnings: Iterable[str]) -> None:
        if not self._logs:
            return
        if found.ignored:
            _log.warning("these changes take effect after a restart: %s", ", ".join(found.ignored))
        if found.reloaded:
            for warning in warnings:
                _log.warning("%s", warning)
            _log.info("configuration reloaded: %s", ", ".join(found.reloaded))


class CertificateReload:
    """Follows the certificate and its key. Each worker does so by itself; one, with `logs`, logs what it finds."""

    def __init__(
        self, certificates: Certificates, state: RunningState, report: StateReport, pool: ThreadPool, *, logs: bool
    ) -> None:
        """`state` has the current certificates; files are read in `pool`."""
        self._certificates = certificates
        self._report = report
        self._pool = pool
        self._logs = logs
        self._watch = Watch(certificates.files.watched, state.pem_seen)

    async def run(self) -> None:
        """Use renewed files for new connections, until cancelled. Unusable ones are logged, and the old ones stay."""
        async for _ in self._watch.changes():
            reader = StateReader()
            try:
                pem = await self._pool.run(self._certificates.files.read, reader.read)
                self._certificates.replace(pem)
            except TlsError as error:
                if self._logs:
                    _log.error("certificate not reloaded, the old one stays: %s", error)
                continue
            if self._logs:
                self._log_renewal(pem)
            await self._pool.run(self._report, CERTIFICATE, reader.report(self._watch.seen))

    def _log_renewal(self, pem: Pem) -> None:
        _log.info("certificate reloaded from %s", self._certificates.files.cert)
        warning = validity_warning(pem)
        if warning:
            _log.warning("http.tls.cert: %s", warning)


def certificates_of(state: RunningState) -> Certificates | None:
    """Return the certificates of connections, None without HTTPS. Raises TlsError."""
    files = TlsFiles.of(state.config.http)
    return None if files is None or state.pem is None else Certificates(files, state.pem)
