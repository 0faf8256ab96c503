"""The import of layouts, as administration uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zot.oci.names import Repository


class Imports(Protocol):
    """The import of layouts that other programs wrote."""

    async def pending(self) -> Sequence[Repository]:
        """Return the repositories that are not completely imported, scanning all directories.

        Raises StorageError, CatalogError.
        """

    async def run(self, repository: Repository) -> str:
        """Import a repository; return why it cannot be imported, or an empty text. Raises CatalogError."""
