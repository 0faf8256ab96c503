"""GraphQL queries to a registry's search extension, in pages."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from urllib.parse import urlencode

import click
import msgspec

from zot.zli.client import RegistryClient, RegistryResponse
from zot.zli.queries import SCHEMA, SchemaQuery, page
from zot.zli.records import SearchRecord, record

SEARCH_PATH = "/v2/_zot/ext/search"

PAGE_SIZE = 2000
"""How many images or repositories are asked for at once: few enough to hold, enough that most lists are one answer."""
_ANSWER_LIMIT_BYTES = 256 << 20

_NOT_READY = "cve-db is not present"
_ATTEMPTS, _RETRY_S = 20, 3.0

Kind = TypeVar("Kind", bound=SearchRecord)


class QueryUnsupportedError(click.ClickException):
    """The registry does not answer this query: it has no search, or one whose queries differ."""


class QueryRejectedError(click.ClickException):
    """The server answered a query with errors."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("".join(f"{message}\n" for message in messages))


async def ask(client: RegistryClient, query: SchemaQuery, given: dict[str, str]) -> Any:
    """Return what a query results in, as decoded JSON.

    `given` has arguments as GraphQL literals. A server that has no vulnerability database yet is asked again, for a
    minute. Raises QueryUnsupportedError, QueryRejectedError, another ClickException for any other status than 200, and
    NoResponseError.
    """
    for attempt in range(1, _ATTEMPTS):
        try:
            return await _ask_once(client, query, given)
        except QueryRejectedError as error:
            if _NOT_READY not in error.message:
                raise
        click.echo(f"[warning] CVE DB is not ready [{attempt}] - retry in {_RETRY_S:.0f} seconds", err=True)
        await asyncio.sleep(_RETRY_S)
    return await _ask_once(client, query, given)


async def pages(
    client: RegistryClient,
    query: SchemaQuery,
    given: dict[str, str],
    kinds: dict[str, type[Kind]],
    *,
    criterion: str | None = None,
    limit: int | None = None,
) -> AsyncIterator[list[Kind]]:
    """Yield the pages of a list, at most `limit` records; `kinds` names the fields that have them.

    A list is complete and has nothing twice as long as the registry does not change it meanwhile. Raises as `ask`.
    """
    offset = 0
    while limit is None or offset < limit:
        size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - offset)
        result = await ask(client, query, {**given, "requestedPage": page(size, offset, criterion)})
        found = records(result, kinds)
        yield found
        offset += len(found)
        total = _mapping(_mapping(result).get("Page")).get("TotalCount")
        if len(found) < size or (isinstance(total, int) and offset >= total):
            return


def records(result: Any, kinds: dict[str, type[Kind]]) -> list[Kind]:
    """Return the records of a result, which null has none of. Raises ClickException for another form."""
    fields = _mapping(result)
    return [each for field, kind in kinds.items() for each in parsed_list(kind, fields.get(field))]


def parsed_list(kind: type[Kind], values: object) -> list[Kind]:
    """Return the records of a list of an answer, which null has none of. Raises ClickException."""
    if not isinstance(values, list | None):
        raise click.ClickException(f"{SEARCH_PATH} did not answer as zot does: a list is expected")
    return [parsed(kind, each) for each in values or ()]


def parsed(kind: type[Kind], value: object) -> Kind:
    """Return a record of an answer. Raises ClickException."""
    try:
        return record(kind, value if value is not None else {})
    except msgspec.ValidationError as error:
        raise click.ClickException(f"{SEARCH_PATH} did not answer as zot does: {error}") from error


def unexpected(response: RegistryResponse) -> click.ClickException:
    """Return the error for an answer whose status is not 200."""
    reasons = {401: "unauthorized access. check credentials", 404: "url not found"}
    reason = reasons.get(response.status, "the response doesn't contain the expected status code")
    body = response.body.decode(errors="replace")
    return click.ClickException(f"{reason}: Expected: 200, Got: {response.status}, Body: '{body}'")


async def _ask_once(client: RegistryClient, query: SchemaQuery, given: dict[str, str]) -> Any:
    """Return what a query results in.

    What queries the server has is looked at only after it has found this one invalid.
    """
    response = await _get(client, query.text(given))
    if response.status == 404:
        raise QueryUnsupportedError(
            "functionality is not built/configured in the current server: "
            f"search extension gql endpoints not found: '{query.name}'"
        )
    if response.status not in {200, 422}:
        raise unexpected(response)
    answer = _decoded(response, client.url(SEARCH_PATH))
    errors = answer.get("errors")
    messages = [str(_mapping(each).get("message", "")) for each in errors] if isinstance(errors, list) else []
    if response.status == 422:
        await _check_support(client, query)
    if messages or response.status == 422:
        raise QueryRejectedError(messages or ["the server found the query invalid"])
    return _mapping(answer.get("data")).get(query.name)


async def _get(client: RegistryClient, text: str) -> RegistryResponse:
    return await client.get(f"{SEARCH_PATH}?{urlencode({'query': text})}", limit_bytes=_ANSWER_LIMIT_BYTES)


def _decoded(response: RegistryResponse, url: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise click.ClickException(f"{url} did not answer as zot does: {error}") from error


def _mapping(value: Any) -> dict[str, Any]:
    """Return an object of an answer; null is an empty one. Raises ClickException for anything else."""
    if not isinstance(value, dict | None):
        raise click.ClickException(f"{SEARCH_PATH} did not answer as zot does: an object is expected")
    return value or {}


async def _check_support(client: RegistryClient, query: SchemaQuery) -> None:
    """Raise QueryUnsupportedError if the server does not have the query with these arguments."""
    response = await _get(client, SCHEMA)
    if response.status != 200:
        return
    try:
        fields = _decoded(response, client.url(SEARCH_PATH))["data"]["__schema"]["queryType"]["fields"]
        known = {each["name"]: tuple(argument["name"] for argument in each["args"]) for each in fields}
    except (KeyError, TypeError):
        return
    if known.get(query.name) != query.arguments:
        raise QueryUnsupportedError(f"query is not supported or has different arguments: {query.name}")
