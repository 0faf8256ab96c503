"""The API of this registry beyond zot's and the distribution API: history, restore and usage, below `/v2/_zot/ext`."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import click
import msgspec

from zot.zli.client import RegistryClient, RegistryResponse
from zot.zli.distribution import next_page
from zot.zli.search_client import unexpected

PREFIX = "/v2/_zot/ext/"

Record = TypeVar("Record", bound=msgspec.Struct)


class TagChangeRecord(msgspec.Struct):
    """A change of a tag; `before` None: it was created, `after` None: deleted."""

    time: str
    tag: str
    before: str | None
    after: str | None
    by: str
    source: str
    sequence: int


class TagAtRecord(msgspec.Struct):
    """Where a tag pointed at a time; `here`: the manifest still exists."""

    tag: str
    digest: str
    here: bool


class RestoredTag(msgspec.Struct):
    """A tag that was restored."""

    tag: str
    digest: str


class RestoredTags(msgspec.Struct):
    """What a restore of all tags did; `left` tags need another one."""

    restored: list[RestoredTag]
    gone: list[str]
    changed: list[str]
    left: int


class RepositoryUsageRecord(msgspec.Struct):
    """What a repository uses, in bytes."""

    repository: str
    bytes: int
    unique_bytes: int
    shared_bytes: int
    untagged_bytes: int
    untagged: int


class TagUsageRecord(msgspec.Struct):
    """What a tag uses, in bytes; its deletion frees `unique_bytes`."""

    tag: str
    bytes: int
    unique_bytes: int


async def rows(
    client: RegistryClient, name: str, fields: Mapping[str, str], key: str, kind: type[Record], limit: int | None
) -> AsyncIterator[Record]:
    """Yield the records of a list in the pages of the registry, at most `limit`. Raises ClickException."""
    given = {field: value for field, value in fields.items() if value}
    if limit is not None:
        given["n"] = str(limit)
    path: str | None = f"{PREFIX}{name}?{urlencode(given)}"
    count = 0
    while path:
        response = await client.get(path)
        listed = _document(client, name, response).get(key)
        for each in _converted(client, name, listed, list[kind]):  # type: ignore[valid-type]
            yield each
            count += 1
            if count == limit:
                return
        path = next_page(client, path, response)


async def post(
    client: RegistryClient, name: str, fields: Mapping[str, str], kind: type[Record], headers: Mapping[str, str]
) -> Record:
    """Return what the answer to a POST has. Raises ClickException."""
    given = {field: value for field, value in fields.items() if value}
    response = await client.post(f"{PREFIX}{name}?{urlencode(given)}", headers=headers)
    record: Record = _converted(client, name, _document(client, name, response), kind)
    return record


def _document(client: RegistryClient, name: str, response: RegistryResponse) -> dict[str, Any]:
    if response.status == 200:
        try:
            return msgspec.json.decode(response.body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise _missing(client, name) from error
    described = error_text(response.body)
    if described:
        raise click.ClickException(described)
    raise _missing(client, name) if response.status in {404, 405, 501} else unexpected(response)


def _converted(client: RegistryClient, name: str, value: object, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _missing(client, name) from error


def _missing(client: RegistryClient, name: str) -> click.ClickException:
    return click.ClickException(
        f"the registry has no {client.url(PREFIX + name)}: it is another one than this zot, an older one, "
        "or one without the extension that this command needs"
    )


def error_text(body: bytes) -> str:
    """Return what an error of this registry says, in one line; empty for any other body."""
    try:
        (error,) = msgspec.json.decode(body)["errors"]
        return f"{error['code']}: {error['detail']['description']}".replace("\n", " ")
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
        return ""
