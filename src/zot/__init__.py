"""zot: an OCI image registry."""

from __future__ import annotations

__version__ = "0.1.0"
"""The same as in `pyproject.toml`: asking the package's metadata for it would cost each command 50 ms."""
