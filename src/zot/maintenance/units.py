"""Numbers as operators read them."""

from __future__ import annotations


def size(count: int) -> str:
    """Return a number of bytes in the largest unit that is not greater."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
