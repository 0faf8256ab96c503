"""`log`: what is logged, and where."""

from __future__ import annotations

from typing import Literal

from zot.config.section import Section, own_key, zot_key

LEVELS = ("debug", "trace", "info", "warn", "warning", "error", "fatal", "panic")


class LogConfig(Section):
    """The log and the audit log."""

    level: str = zot_key(
        "level", "debug", doc="`debug`, `trace`, `info`, `warn`, `warning`, `error`, `fatal` or `panic`."
    )
    output: str = zot_key("output", "", doc="File to append to; empty: standard output.")
    audit: str = zot_key("audit", "", doc="File to append the audit log to; empty: no audit log.")
    format: Literal["text", "json"] | None = own_key("log.format")
