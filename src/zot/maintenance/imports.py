"""Layouts below the roots that are not in the catalog yet, as upkeep sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zot.oci.names import Repository


class Imports(Protocol):
    """The import of layouts that other programs wrote."""

    async def pending(self) -> Sequence[Repository]:
        """Return the repositories that the catalog does not have, or not completely.

        It looks through all directories. Raises StorageError, CatalogError.
        """

    async def run(self, repository: Repository) -> str:
        """Import a repository; return why it cannot be imported, empty: it is. Raises CatalogError."""
