"""The catalog in PostgreSQL: each change is one call of a function, which is a transaction."""

from __future__ import annotations

from typing import get_args

from zot.catalog.command import Command
from zot.catalog.commands import AnyCommand
from zot.catalog.interface import LeaseEndedError, Outcome
from zot.catalog.layout_snapshot import read_layout_snapshot
from zot.catalog.owner_commands import lease_ended
from zot.catalog.postgres.codec import decode_outcome, encode_command, function_of
from zot.catalog.postgres.connection import CatalogConnection
from zot.catalog.postgres.reader import PostgresReader
from zot.catalog.postgres.schema import SCHEMA
from zot.catalog.rows import LayoutSnapshot
from zot.databases.postgres_pool import PostgresPool
from zot.oci.names import Repository

# The files of `sql/` have a function for each command, as the contract's tests prove.
_CALLS = {
    kind: f"SELECT {SCHEMA.functions_schema}.{function_of(kind)}($1::jsonb, $2::bytea)" for kind in get_args(AnyCommand)
}


class PostgresCatalog(PostgresReader):
    """A `Catalog` in PostgreSQL, for one process and event loop."""

    def __init__(self, pool: PostgresPool, owner: str) -> None:
        """Own the pool. A start has made the tables (`PostgresCatalogEngine.begin`)."""
        super().__init__(CatalogConnection(pool))
        self.owner = owner

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change and return its outcome.

        A command whose connection is lost is given again within its time, with the same id. If the caller is
        cancelled, it may be carried out all the same.
        """
        fields, content = encode_command(command)
        try:
            rows = await self._connection.rows(_CALLS[type(command)], fields, content)
        except LeaseEndedError as error:
            raise lease_ended(getattr(command, "owner", "")) from error
        outcome: Outcome = decode_outcome(type(command), rows[0][0])
        return outcome

    async def layout_snapshot(self, repository: Repository, limit: int, limit_bytes: int) -> LayoutSnapshot | None:
        """Return all that a repository's layout has to show, in one transaction."""
        with self.one_moment():
            return await read_layout_snapshot(self, repository, limit, limit_bytes)

    async def close(self) -> None:
        """Finish what was begun and close all connections."""
        await self._connection.close()
