"""The declaration of `extensions.sync`."""

from __future__ import annotations

from zot.extensions.declaration import Extension

EXTENSION = Extension("sync", frozenset({"extensions.sync"}))
