"""The schema: zot's names, types and arguments, in zot's order. zli compares them by introspection."""

from __future__ import annotations

from functools import cache
from importlib import resources

from graphql import GraphQLObjectType, GraphQLSchema, build_schema


@cache
def schema() -> GraphQLSchema:
    """Return the schema; the first call parses it."""
    text = resources.files(__package__).joinpath("schema.graphql").read_text(encoding="utf-8")
    return build_schema(text)


def query_type() -> GraphQLObjectType:
    """Return the type whose fields are the queries."""
    of = schema().query_type
    assert of is not None
    return of
