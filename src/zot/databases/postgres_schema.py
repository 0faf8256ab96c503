"""The schema of one part of the product in a PostgreSQL database, and how an older one is migrated.

Tables are in a schema with the name of the part, and only ever gain: a step adds tables, columns with defaults and
indexes, and takes nothing away that an earlier version uses. Functions are in another schema, whose name has the digest
of their text. So replicas of an earlier version go on with their functions while those of the present one use theirs.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from zot.databases.postgres_pool import PostgresPool

_MIGRATION_S = 120.0

# Statements are made of the constants of a part alone.
# ruff: noqa: S608


class PostgresSchema(NamedTuple):
    """The tables and functions of one part."""

    name: str
    """Of the schema of the tables: `zot_catalog`. In the functions' text `NAME_functions.` stands for their schema."""
    migrations: tuple[str, ...]
    """Scripts from each version to the next. A released script is never edited."""
    functions: str = ""
    """The script that makes the functions."""

    @property
    def functions_schema(self) -> str:
        """The schema of the functions."""
        return f"{self.name}_{hashlib.sha256(self.functions.encode()).hexdigest()[:12]}"

    async def migrate(self, pool: PostgresPool) -> None:
        """Create the schemas, or migrate them to the present version, in one transaction. Idempotent.

        Several processes may do so at once. A later version's tables are left as they are. Raises PostgresError.
        """
        if await self._is_present(pool):
            return
        async with pool.transaction(timeout_s=_MIGRATION_S) as connection:
            # Released with the transaction: one process at a time.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1)::bigint)", self.name)
            if not await _exists(connection, self.name):
                await connection.execute(f"CREATE SCHEMA {self.name}")
                await connection.execute(
                    f"CREATE TABLE {self.name}.schema_version (version int NOT NULL);"
                    f" INSERT INTO {self.name}.schema_version VALUES (0)"
                )
            version = await connection.fetchval(f"SELECT version FROM {self.name}.schema_version FOR UPDATE")
            for step in self.migrations[version:]:
                await connection.execute(step)
            if version < len(self.migrations):
                await connection.execute(f"UPDATE {self.name}.schema_version SET version = {len(self.migrations)}")
            if self.functions and not await _exists(connection, self.functions_schema):
                await connection.execute(f"CREATE SCHEMA {self.functions_schema}")
                text = self.functions.replace(f"{self.name}_functions.", f"{self.functions_schema}.")
                await connection.execute(text)

    async def _is_present(self, pool: PostgresPool) -> bool:
        """Tell whether all is there, which needs no right to create anything."""
        wanted = [self.name, self.functions_schema] if self.functions else [self.name]
        found = await pool.fetch("SELECT count(*) FROM pg_namespace WHERE nspname = ANY($1::text[])", wanted)
        if found[0][0] < len(wanted):
            return False
        rows = await pool.fetch(f"SELECT version FROM {self.name}.schema_version")
        return bool(rows) and rows[0][0] >= len(self.migrations)


async def _exists(connection: Any, schema: str) -> bool:
    return bool(await connection.fetchval("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", schema))
