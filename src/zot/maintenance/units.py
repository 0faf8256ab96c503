"""Numbers as operators read them."""

from __future__ import annotations

_SPANS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def elapsed(seconds: float) -> str:
    """Return a span of time in its largest whole unit: `3 days`."""
    for unit_s, name in _SPANS:
        count = int(seconds // unit_s)
        if count > 0:
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "less than a second"


def size(count: int) -> str:
    """Return a number of bytes in the largest unit that is not greater."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
