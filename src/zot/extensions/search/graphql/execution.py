"""Execution of plans: query by query, encoded in pieces, so that no long response is whole in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import msgspec

from zot.extensions.search.graphql.errors import FieldError
from zot.extensions.search.graphql.planning import Plan, PlannedQuery
from zot.extensions.search.graphql.queries import RESOLVERS, Queries
from zot.extensions.search.graphql.rows import Rows
from zot.extensions.search.graphql.selection import SelectedObject, Selection
from zot.foundation.threads import ThreadPool

# So many rows are encoded on the event loop, which takes up to 7 ms; more are encoded in a thread.
_ROWS_AT_ONCE = 50

_encode = msgspec.json.encode


async def execute(plan: Plan, queries: Queries, pool: ThreadPool) -> AsyncGenerator[bytes]:
    """Return the response in pieces.

    Everything is looked up before the first piece, but rows beyond `PAGE_LIMIT`. Raises what the queries raise besides
    FieldError, and ThreadPoolBusyError.
    """
    errors: list[dict[str, object]] = []
    values: dict[str, object] = {}
    for key, field in plan.items():
        if not isinstance(field, PlannedQuery):
            values[key] = field
            continue
        try:
            values[key] = await RESOLVERS[field.name](queries, field.arguments, Selection(field.selected))
        except FieldError as error:
            errors.append({"message": str(error), "path": [key], "locations": [field.location]})
    if errors:
        # No query may be null: as in zot, one that fails takes the others with it.
        yield _encode({"errors": errors, "data": None})
        return
    opening = b'{"data":{'
    for key, field in plan.items():
        yield opening + _encode(key) + b":"
        opening = b","
        if not isinstance(field, PlannedQuery):
            yield _encode(field)
        elif field.many:
            found = values[key]
            assert isinstance(found, Sequence)
            yield _encode(field.selected.all(found))
        else:
            async for piece in _object(field.selected, values[key], pool):
                yield piece
    yield b"}}"


async def _object(selected: SelectedObject, source: object, pool: ThreadPool) -> AsyncIterator[bytes]:
    """Encode the result of a query, whose fields may be rows."""
    if not isinstance(source, dict) or not selected.fields:
        yield _encode(selected.one(source))
        return
    opening = b"{"
    for field in selected.fields:
        yield opening + _encode(field.key) + b":"
        opening = b","
        value = field.read(source)
        if isinstance(value, Rows):
            assert field.selected is not None
            async for piece in _rows(field.selected, value, pool):
                yield piece
        else:
            yield _encode(field.projected(value))
    yield b"}"


async def _rows(selected: SelectedObject, rows: Rows[object], pool: ThreadPool) -> AsyncIterator[bytes]:
    opening = b"["
    async for step in rows.steps():
        for start in range(0, len(step), _ROWS_AT_ONCE):
            some = step[start : start + _ROWS_AT_ONCE]
            encoded = (
                await pool.run(_encoded, selected, some) if rows.count > _ROWS_AT_ONCE else _encoded(selected, some)
            )
            yield opening + encoded[1:-1]
            opening = b","
    yield b"[]" if opening == b"[" else b"]"


def _encoded(selected: SelectedObject, sources: Sequence[object]) -> bytes:
    return _encode(selected.all(sources))
