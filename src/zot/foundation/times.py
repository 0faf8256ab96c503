"""Times as texts of RFC 3339, to the nanosecond."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

_LENGTH_LIMIT = 64
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?([Zz]|[+-]\d\d:\d\d)")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# What an int64 of nanoseconds can express, with a day to spare.
_EARLIEST, _LATEST = dt.datetime(1677, 9, 23, tzinfo=dt.UTC), dt.datetime(2262, 4, 10, tzinfo=dt.UTC)


def parse_time_ns(text: str) -> int | None:
    """Return a time of RFC 3339 in nanoseconds since the epoch; None if it is none, or Go's zero time."""
    return _time_ns(text) if len(text) <= _LENGTH_LIMIT else None


@lru_cache(maxsize=1024)  # the entries of an image's history often have one time
def _time_ns(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    date, time, fraction, zone = found.groups()
    try:
        moment = dt.datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone in 'Zz' else zone}")
        if not _EARLIEST <= moment <= _LATEST:
            return None
    except (ValueError, OverflowError):
        return None
    since = moment - _EPOCH
    return (since.days * 86400 + since.seconds) * 10**9 + int((fraction or "0")[:9].ljust(9, "0"))


def time_text(ns: int) -> str | None:
    """Return nanoseconds since the epoch with up to nine decimals, in UTC, as Go does; None if it has no such form."""
    seconds, fraction = divmod(ns, 10**9)
    try:
        text = (_EPOCH + dt.timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return None
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text.removesuffix('+00:00')}{decimals}Z"
