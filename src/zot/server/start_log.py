"""The lines that begin a server's log, in zot's words: its configuration, limits and address."""

from __future__ import annotations

import logging
import os
import resource
from contextlib import suppress
from pathlib import Path

from zot import __version__
from zot.config.masking import masked
from zot.config.model import Config
from zot.logs.fields import fields
from zot.server.plan import ServerPlan

_log = logging.getLogger("zot.server")

# Limits of the kernel, by zot's names.
_OF_KERNEL = {
    "listen backlog": Path("/proc/sys/net/core/somaxconn"),
    "max. inotify watches": Path("/proc/sys/fs/inotify/max_user_watches"),
}


def log_start(config: Config, plan: ServerPlan) -> None:
    """Log the configuration, with secrets masked, and the limits: once a server, whatever its processes."""
    _log.info("zot %s starts", __version__)
    _log.debug("configuration settings", extra=fields(params=masked(config)))
    _log.info("runtime params", extra=fields(**_runtime()))
    if plan.unix_socket is None and not int(config.http.port or 0):
        message = "port is unspecified, listening on kernel chosen port"
        _log.info(message, extra=fields(address=plan.address, port=plan.port))


def _runtime() -> dict[str, object]:
    found: dict[str, object] = {
        "cpus": os.cpu_count(),
        "max. open files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }
    for name, file in _OF_KERNEL.items():
        with suppress(OSError):  # not Linux
            found[name] = file.read_text().strip()
    return found
