"""The command `zot`."""

from __future__ import annotations

from zot.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
