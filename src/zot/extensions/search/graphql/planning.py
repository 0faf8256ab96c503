"""Plans: what a request selects and with which arguments, before anything is looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableDefinitionNode,
    execute_sync,
    get_location,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values

from zot.extensions.search.graphql.arguments import Arguments
from zot.extensions.search.graphql.document import Document, read_document
from zot.extensions.search.graphql.errors import ErrorCode, GraphQLRequestError, invalid_document
from zot.extensions.search.graphql.readers import READERS
from zot.extensions.search.graphql.schema import query_type, schema
from zot.extensions.search.graphql.selection import Compiler, SelectedObject, object_type
from zot.foundation.bounded_map import BoundedMap
from zot.foundation.threads import ThreadPool

# Of documents with variables: characters in all. Each costs some 200 bytes of memory.
_DOCUMENTS_LENGTH = 32 << 10
# Of plans: bytes in all, by the length of their texts and what they know of the schema.
_PLANS_BYTES = 8 << 20
_PLAN_BYTES_PER_CHARACTER = 50


class GraphQLRequest(NamedTuple):
    """What a client sends."""

    text: str
    variables: Mapping[str, Any] = {}
    operation: str = ""
    """The name of the operation to execute, of a text with several."""


class PlannedQuery(NamedTuple):
    """A query of the schema: its arguments, and what is selected of its objects."""

    name: str
    arguments: Arguments
    selected: SelectedObject
    many: bool
    """Whether its result is a list."""
    location: dict[str, int]
    """Where it is in the text."""


Plan = Mapping[str, PlannedQuery | object]
"""Key in the response -> a query, or the encoded value itself: of introspection."""


class _KnownPlan(NamedTuple):
    plan: Plan
    size_bytes: int


class Planner:
    """Plans requests in a thread; remembers documents, and the plans that no variable changes."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._documents: BoundedMap[str, Document] = BoundedMap(_DOCUMENTS_LENGTH, lambda known: known.length)
        self._plans: BoundedMap[tuple[str, str], _KnownPlan] = BoundedMap(_PLANS_BYTES, lambda known: known.size_bytes)

    async def plan(self, request: GraphQLRequest) -> Plan:
        """Return the plan of a request. Raises GraphQLRequestError, ThreadPoolBusyError."""
        key = (request.text, request.operation)
        known = self._plans.use(key)
        if known is not None:
            return known.plan
        document, operation, plan = await self._pool.run(_planned, request, self._documents.use(request.text))
        if operation.variable_definitions:
            self._documents[request.text] = document
        else:
            self._plans[key] = _KnownPlan(plan, _size_bytes(request.text, plan))
        return plan


def _size_bytes(text: str, plan: Plan) -> int:
    known = sum(len(bytes(each)) for each in plan.values() if isinstance(each, msgspec.Raw))
    return _PLAN_BYTES_PER_CHARACTER * len(text) + known


def _planned(request: GraphQLRequest, known: Document | None) -> tuple[Document, OperationDefinitionNode, Plan]:
    document = known or read_document(request.text)
    operation = document.operation(request.operation)
    return document, operation, _plan(document, operation, request.variables)


def _plan(document: Document, operation: OperationDefinitionNode, given: Mapping[str, Any]) -> Plan:
    variables = _variables(operation, given)
    compiler = Compiler(READERS, document.fragments, variables)
    selected = compiler.collect([operation.selection_set])
    introspection = {key: nodes for key, nodes in selected.items() if nodes[0].name.value.startswith("__")}
    values = _introspected(document, operation, introspection, given) if introspection else {}
    return {
        key: msgspec.Raw(msgspec.json.encode(values[key]))
        if key in introspection
        else _query(compiler, nodes, variables)
        for key, nodes in selected.items()
    }


def _variables(operation: OperationDefinitionNode, given: Mapping[str, Any]) -> VariableValues:
    values = get_variable_values(schema(), operation.variable_definitions or (), dict(given), hide_suggestions=True)
    if isinstance(values, VariableValues):
        return values
    raise GraphQLRequestError(*map(_variable_error, values))


def _variable_error(error: GraphQLError) -> dict[str, object]:
    names = [each.variable.name.value for each in error.nodes or () if isinstance(each, VariableDefinitionNode)]
    message = "must be defined" if "to be provided" in error.message else error.message
    return {"message": message, "path": ["variable", *names], "extensions": {"code": ErrorCode.VALIDATION.value}}


def _query(compiler: Compiler, nodes: Sequence[FieldNode], variables: VariableValues) -> PlannedQuery:
    node = nodes[0]
    definition = query_type().fields[node.name.value]
    of, many = object_type(definition)
    assert of is not None, "every query returns objects"
    try:
        arguments = get_argument_values(definition, node, variables, hide_suggestions=True)
    except GraphQLError as error:
        raise invalid_document([error], ErrorCode.VALIDATION) from error
    return PlannedQuery(node.name.value, arguments, compiler.selected(of, nodes), many, _location(node))


def _location(node: FieldNode) -> dict[str, int]:
    assert node.loc is not None
    start = get_location(node.loc.source, node.loc.start)
    return {"line": start.line, "column": start.column}


def _introspected(
    document: Document,
    operation: OperationDefinitionNode,
    selected: Mapping[str, Sequence[FieldNode]],
    given: Mapping[str, Any],
) -> Mapping[str, object]:
    """Return what an operation selects of the schema itself."""
    fields = tuple(each for nodes in selected.values() for each in nodes)
    alone = OperationDefinitionNode(
        operation=operation.operation,
        variable_definitions=operation.variable_definitions,
        selection_set=SelectionSetNode(selections=fields),
    )
    node = DocumentNode(definitions=(alone, *document.fragments.values()))
    result = execute_sync(schema(), node, variable_values=dict(given))
    assert isinstance(result, ExecutionResult)
    if result.errors:
        raise invalid_document(result.errors, ErrorCode.VALIDATION)
    return result.data or {}
