"""Errors of GraphQL requests: of the whole request, and of one field."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from graphql import GraphQLError


class ErrorCode(StrEnum):
    """Why a request was not executed, as `extensions.code` says it."""

    PARSE = "GRAPHQL_PARSE_FAILED"
    VALIDATION = "GRAPHQL_VALIDATION_FAILED"
    COMPLEXITY = "COMPLEXITY_LIMIT_EXCEEDED"


class GraphQLRequestError(Exception):
    """The request was not executed. `errors` are the entries of the response's list, `status` is its HTTP status."""

    def __init__(self, *errors: dict[str, Any], status: int = 422) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors
        self.status = status


class FieldError(Exception):
    """A field of the query cannot be answered; the client reads the message."""


def request_error(message: str, code: ErrorCode) -> GraphQLRequestError:
    """Return an error of a request that has no place in the document."""
    return GraphQLRequestError({"message": message, "extensions": {"code": code.value}})


def invalid_document(errors: Sequence[GraphQLError], code: ErrorCode) -> GraphQLRequestError:
    """Return the error of a document that cannot be executed."""
    return GraphQLRequestError(
        *(
            {
                "message": error.message.removeprefix("Syntax Error: "),
                "locations": [{"line": each.line, "column": each.column} for each in error.locations or ()],
                "extensions": {"code": code.value},
            }
            for error in errors
        )
    )
