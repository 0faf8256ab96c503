"""`/v2/_zot/ext/search`: GraphQL by GET and POST, with zot's statuses and error bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from zot.accounts.interface import AccountsUnavailableError
from zot.api.body import TransferLimits, read_limited
from zot.api.errors import method_not_allowed
from zot.api.http_request import HttpRequest
from zot.api.json_stream import send_pieces
from zot.auth.principal import ANONYMOUS
from zot.extensions.search.graphql.errors import GraphQLRequestError
from zot.extensions.search.graphql.execution import execute
from zot.extensions.search.graphql.objects import Caller, Sources
from zot.extensions.search.graphql.planning import GraphQLRequest, Plan, PlannedQuery, Planner
from zot.extensions.search.graphql.queries import Queries
from zot.extensions.search.interface import SearchUnavailableError, Visibility
from zot.foundation.threads import ThreadPool, ThreadPoolBusyError
from zot.registry.errors import Unavailable

BODY_LIMIT_BYTES = 64 << 10
_FIELDS_LIMIT = 16
_NOSNIFF = {"X-Content-Type-Options": "nosniff"}
_JSON = {"Content-Type": "application/json", **_NOSNIFF}


class _Body(msgspec.Struct):
    """The body of a POST (GraphQL over HTTP)."""

    query: str | None = None
    variables: dict[str, Any] | None = None
    operation_name: str | None = msgspec.field(name="operationName", default=None)


class GraphQLRoute:
    """Handles the requests of GraphQL."""

    def __init__(self, sources: Sources, visibility: Visibility, pool: ThreadPool, limits: TransferLimits) -> None:
        """Answer from `sources`; in `pool` runs what would block the event loop."""
        self._sources = sources
        self._pool = pool
        self._limits = limits
        self._planner = Planner(pool)
        self._visibility = visibility

    async def get(self, http: HttpRequest) -> web.StreamResponse:
        """GET `?query=TEXT[&variables=JSON][&operationName=NAME]`."""
        if http.method == "HEAD":
            raise method_not_allowed(http.method, "GET", "POST")
        try:
            return await self._respond(http, _from_query(http.raw_path.partition("?")[2]))
        except GraphQLRequestError as error:
            return _refused(error)

    async def post(self, http: HttpRequest) -> web.StreamResponse:
        """POST of a JSON object with `query`, `variables` and `operationName`."""
        if http.content_type.lower() != "application/json":
            error = GraphQLRequestError({"message": "transport not supported"}, status=400)
            return _refused(error, "text/plain; charset=utf-8")
        try:
            body = await read_limited(http, self._limits, BODY_LIMIT_BYTES)
            return await self._respond(http, _from_body(body))
        except GraphQLRequestError as error:
            return _refused(error)

    async def _respond(self, http: HttpRequest, request: GraphQLRequest) -> web.StreamResponse:
        try:
            plan = await self._planner.plan(request)
            queries = await self._queries(http, plan)
            return await send_pieces(http, self._limits, execute(plan, queries, self._pool), _JSON)
        except (SearchUnavailableError, ThreadPoolBusyError) as error:
            raise Unavailable("the search cannot answer now", retry_after_s=1) from error
        except AccountsUnavailableError as error:
            raise Unavailable("the accounts cannot be reached") from error

    async def _queries(self, http: HttpRequest, plan: Plan) -> Queries:
        principal = http.principal or ANONYMOUS
        if not any(isinstance(each, PlannedQuery) for each in plan.values()):
            return Queries(self._sources, Caller(principal, http.context, frozenset()))
        await self._sources.search.caught_up()
        visible = await self._visibility.of(principal, http.context)
        return Queries(self._sources, Caller(principal, http.context, visible))


def _from_query(query: str) -> GraphQLRequest:
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=_FIELDS_LIMIT)
    except ValueError as error:
        raise GraphQLRequestError({"message": str(error)}, status=400) from error

    def first(name: str) -> str:
        return fields.get(name, [""])[0]

    variables: Mapping[str, Any] | None = None
    if first("variables"):
        try:
            variables = msgspec.json.decode(first("variables"), type=dict[str, Any] | None)
        except (ValueError, RecursionError) as error:
            raise GraphQLRequestError({"message": f"variables could not be decoded: {error}"}, status=400) from error
    return GraphQLRequest(first("query"), variables or {}, first("operationName"))


def _from_body(body: bytes) -> GraphQLRequest:
    try:
        parsed = msgspec.json.decode(body, type=_Body)
    except (ValueError, RecursionError) as error:
        raise GraphQLRequestError(
            {"message": f"json request body could not be decoded: {error}"}, status=400
        ) from error
    return GraphQLRequest(parsed.query or "", parsed.variables or {}, parsed.operation_name or "")


def _refused(error: GraphQLRequestError, content_type: str = _JSON["Content-Type"]) -> web.Response:
    body = msgspec.json.encode({"errors": error.errors, "data": None})
    return web.Response(status=error.status, body=body, headers={"Content-Type": content_type, **_NOSNIFF})
