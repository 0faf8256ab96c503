"""The tables and functions of the catalog, from the files in `sql/`.

A table only ever gains (`zot.databases.postgres_schema`): replicas of the version before use it at the same time.
"""

from __future__ import annotations

from importlib.resources import files

from zot.databases.postgres_schema import PostgresSchema

_SQL = files("zot.catalog.postgres") / "sql"
# In the order in which they need each other.
_FUNCTIONS = ("scope", "blobs", "manifests", "uploads", "layouts", "owners", "change_log")


def _text(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


SCHEMA = PostgresSchema(
    "zot_catalog", migrations=(_text("tables"),), functions="\n".join(_text(name) for name in _FUNCTIONS)
)
"""A released migration is never edited: each later change of a table is another file."""
