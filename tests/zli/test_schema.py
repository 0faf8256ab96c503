"""zli's queries against this tree's own schema of search."""

from __future__ import annotations

import pytest
from graphql import parse, validate

from zot.extensions.search.graphql.schema import query_type, schema
from zot.zli import queries
from zot.zli.queries import SCHEMA, SchemaQuery

ALL = [each for each in vars(queries).values() if isinstance(each, SchemaQuery)]
VALUES = {
    "requestedPage": queries.page(10, 0, "ALPHABETIC_ASC"),
    "filter": "{}",
    "minuend": '{Repo: "a", Tag: "1", Digest: "", Platform: {Os: "linux", Arch: "amd64"}}',
    "subtrahend": '{Repo: "a", Tag: "1", Digest: ""}',
    "type": "[]",
}


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_a_query_is_valid(query: SchemaQuery) -> None:
    """With a value for each argument, and with those arguments, in that order, that the schema has."""
    given = {name: VALUES.get(name, queries.literal("a")) for name in query.arguments}
    assert validate(schema(), parse(query.text(given))) == []
    assert tuple(query_type().fields[query.name].args) == query.arguments


def test_the_question_for_the_schema_is_valid() -> None:
    """It is asked when a server finds a query invalid."""
    assert validate(schema(), parse(SCHEMA)) == []
