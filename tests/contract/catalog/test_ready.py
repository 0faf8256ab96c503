"""Whether a catalog can be used, asked of every driver."""

from __future__ import annotations

from contract.catalog.examples import put
from zot.catalog.interface import Catalog


async def test_an_open_catalog_is_ready(catalog: Catalog) -> None:
    """Once it has carried out a change, a catalog says that it can be used."""
    await catalog.do(put("image"))
    await catalog.ready()
