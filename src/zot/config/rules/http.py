"""Rules of `http`, without authentication and authorization."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zot.config.durations import format_seconds
from zot.config.errors import ConfigProblem, ConfigWarning, Finding
from zot.config.http import DOCKER2S2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zot.config.http import HttpConfig, LimitsConfig


def port(http: HttpConfig) -> Iterator[Finding]:
    """Check the port, which is a text as in zot."""
    if http.port and not (re.fullmatch(r"0*[0-9]{1,5}", http.port) and int(http.port) <= 65535):
        yield ConfigProblem(f"invalid port {http.port}", "http.port", "an integer from 0 to 65535")


def own_checks(http: HttpConfig) -> Iterator[Finding]:
    """Check what zot does not check, or checks only at start: certificates, rates and limits."""
    if http.tls is not None:
        if bool(http.tls.cert) != bool(http.tls.key):
            missing = "http.tls.key" if http.tls.cert else "http.tls.cert"
            yield ConfigProblem("HTTPS needs a certificate and its key", missing, "the path of a PEM file")
        elif not http.tls.cert:
            yield ConfigWarning("ignored: HTTPS needs cert and key", "http.tls")
    for media_types in http.compat:
        if media_types != DOCKER2S2:
            yield ConfigProblem(f"unsupported media type compatibility {media_types!r}", "http.compat", DOCKER2S2)
    if http.ratelimit is not None:
        rates = [("http.ratelimit.rate", http.ratelimit.rate)]
        rates += [(f"http.ratelimit.methods[{i}].rate", entry.rate) for i, entry in enumerate(http.ratelimit.methods)]
        for key, rate in rates:
            if rate is not None and rate <= 0:
                yield ConfigProblem(f"invalid rate {rate}", key, "requests a second, at least 1")
    if http.workers is not None and http.workers < 0:
        yield ConfigProblem(f"invalid number of workers {http.workers}", "http.workers", "0 or more")
    if http.drain_timeout_s < 0:
        yield ConfigProblem(
            f"invalid drain timeout {format_seconds(http.drain_timeout_s)}", "http.drainTimeout", "0s or more"
        )
    yield from _limits(http.limits)


def _limits(limits: LimitsConfig) -> Iterator[Finding]:
    for name, field in type(limits).model_fields.items():
        value = getattr(limits, name)
        may_be_zero = name == "min_bytes_per_second"
        if value is not None and (value < 0 or (value == 0 and not may_be_zero)):
            expected = "0 or more" if may_be_zero else "more than 0"
            yield ConfigProblem(f"invalid limit {value:g}", f"http.limits.{field.alias}", expected)
