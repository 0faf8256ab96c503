"""`/v2/_zot/ext/usage`: the bytes that repositories and tags use, and share."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nsmallest
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from zot.api.http_request import Handler, HttpRequest
from zot.api.query import QueryFields
from zot.extensions.declaration import HttpContext
from zot.extensions.search.interface import RepositoryUsage, Search, SearchUnavailableError, Visibility, Visible
from zot.foundation.threads import ThreadPoolBusyError
from zot.oci.names import Repository
from zot.registry.errors import NameUnknown, Unavailable
from zot.registry.pages import page_limit
from zot.registry.request import ListTagUsage, ListUsage

PATH = "/v2/_zot/ext/usage"

_ROWS = 100
"""Rows of a page where the client does not say how many."""


def usage(context: HttpContext, search: Search, visibility: Visibility) -> Handler:
    """Return the handler of GET `[?n=ROWS&last=NAME]`, and of `?repo=NAME[&n=ROWS&last=TAG]`."""
    route = _Usage(context, search, visibility)

    async def get(http: HttpRequest) -> web.Response:
        try:
            return await route.get(http)
        except (SearchUnavailableError, ThreadPoolBusyError) as error:
            raise Unavailable("the search cannot answer now", retry_after_s=1) from error

    return get


class _Usage:
    def __init__(self, context: HttpContext, search: Search, visibility: Visibility) -> None:
        self._registry = context.registry
        self._authorizer = context.authorizer
        self._pool = context.pool
        self._search = search
        self._visibility = visibility

    async def get(self, http: HttpRequest) -> web.Response:
        query = QueryFields(http)
        if query.one("repo"):
            return await self._of_tags(http, query)
        request = ListUsage(limit=query.count("n"), last=query.one("last"))
        http.request = request
        call = await self._authorizer.authorize(http, request)
        complete = await self._search.caught_up()
        visible = await self._visibility.of(call.principal, call.context)
        limit = self._limit(request.limit)
        names = await self._pool.run(_names_after, await self._search.names(), visible, request.last, limit + 1)
        rows = []
        for name in names[:limit]:
            found = await self._search.repository_usage(visible, name)
            if found is not None:  # deleted meanwhile
                rows.append({"repository": name, **_usage(found)})
        following = {"last": names[limit - 1]} if 0 < limit < len(names) else None
        return _page({"complete": complete, "repositories": rows}, query, following)

    async def _of_tags(self, http: HttpRequest, query: QueryFields) -> web.Response:
        request = ListTagUsage(repository=query.repository(), limit=query.count("n"), last=query.one("last"))
        http.request = request
        call = await self._authorizer.authorize(http, request)
        repository, limit = request.repository, self._limit(request.limit)
        await self._registry.known(repository)
        complete = await self._search.caught_up()
        visible = await self._visibility.of(call.principal, call.context)
        found = await self._search.repository_usage(visible, repository)
        if found is None:
            raise NameUnknown(name=repository) if complete else Unavailable("the index does not have it yet")
        tags = await self._registry.catalog.tags(repository, request.last, limit + 1) if limit else []
        used = await self._search.image_usage(visible, repository, [each.name for each in tags[:limit]])
        rows = [{"tag": tag, "bytes": each.bytes, "unique_bytes": each.unique_bytes} for tag, each in used.items()]
        following = {"last": tags[limit - 1].name} if 0 < limit < len(tags) else None
        return _page({"complete": complete, "repository": repository, **_usage(found), "tags": rows}, query, following)

    def _limit(self, asked: int | None) -> int:
        return min(page_limit(self._registry, asked), _ROWS)


def _names_after(names: frozenset[Repository], visible: Visible, last: str, count: int) -> list[Repository]:
    return nsmallest(count, (each for each in (names if visible is None else names & visible) if each > last))


def _usage(found: RepositoryUsage) -> dict[str, int]:
    return {
        "bytes": found.bytes,
        "unique_bytes": found.unique_bytes,
        "shared_bytes": found.shared_bytes,
        "untagged_bytes": found.untagged_bytes,
        "untagged": found.untagged,
    }


def _page(document: object, query: QueryFields, following: Mapping[str, str] | None) -> web.Response:
    headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    if following is not None:
        kept = [(name, query.one(name)) for name in ("repo", "n") if query.one(name)]
        headers["Link"] = f'<{PATH}?{urlencode([*kept, *following.items()])}>; rel="next"'
    return web.Response(body=msgspec.json.encode(document), headers=headers)
