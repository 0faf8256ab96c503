"""`/v2/_zot/ext/history`, `asof` and `restore`: what happened to tags, and how they get back to earlier manifests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from zot.admin import tag_history
from zot.admin.tag_history import RestoreRefusedError, TagReturn
from zot.api.application import Routes
from zot.api.authorization import AnyRequest, Authorizer, Call
from zot.api.http_request import HttpRequest
from zot.api.manifests import tag_move
from zot.api.query import QueryFields, QueryInvalid
from zot.catalog.change_log import TagChange
from zot.catalog.manifest_commands import TagMove, TagPosition, TagRefused
from zot.foundation.times import time_text
from zot.oci.digest import InvalidDigestError, parse_digest
from zot.oci.names import Repository, Tag
from zot.registry import tags
from zot.registry.errors import ManifestUnknown, NotGranted, TagChanged
from zot.registry.pages import page_limit
from zot.registry.registry import Registry
from zot.registry.request import ListTagChanges, ListTagsAsOf, RestoreRepositoryTags

HISTORY_PATH = "/v2/_zot/ext/history"
AS_OF_PATH = "/v2/_zot/ext/asof"
RESTORE_PATH = "/v2/_zot/ext/restore"

ROWS = 100
"""Rows of a page where the client does not say how many."""
RESTORED_LIMIT = 1000
"""The most tags that one request restores."""
_AT_ONCE = 50
_JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}


def routes(registry: Registry, authorizer: Authorizer) -> Routes:
    """Return the routes of a registry."""
    handlers = _TagHistory(registry, authorizer)
    return {
        HISTORY_PATH: {"GET": handlers.history},
        AS_OF_PATH: {"GET": handlers.as_of},
        RESTORE_PATH: {"POST": handlers.restore},
    }


class _TagHistory:
    def __init__(self, registry: Registry, authorizer: Authorizer) -> None:
        self._registry = registry
        self._authorizer = authorizer
        # The past of all tags is made from the whole history: of one repository at a time.
        self._reading = asyncio.Lock()

    async def history(self, http: HttpRequest) -> web.Response:
        """GET `?repo=NAME[&tag=TAG][&n=ROWS][&before=SEQUENCE]`."""
        query = QueryFields(http)
        call = await self._call(
            http,
            ListTagChanges(
                repository=query.repository(), tag=query.tag(), limit=query.count("n"), before=query.count("before")
            ),
        )
        request, repository, tag = call.request, call.request.repository, call.request.tag
        await self._registry.known(repository)
        limit = self._limit(request.limit)
        changes = await self._registry.catalog.tag_log(repository, tag, request.before, limit)
        if tag is not None and not changes and request.before is None:
            await self._require(repository, tag)
        document: dict[str, Any] = {"repository": repository, "changes": [_change(each) for each in changes]}
        following = {"before": str(changes[-1].sequence)} if 0 < len(changes) == limit else None
        return _page(HISTORY_PATH, document, query, following)

    async def as_of(self, http: HttpRequest) -> web.Response:
        """GET `?repo=NAME&at=TIME[&tag=TAG][&n=ROWS][&last=TAG]`."""
        query = QueryFields(http)
        repository, tag, at_ns = query.repository(), query.tag(), _required_time(query)
        request = ListTagsAsOf(
            repository=repository, at_ns=at_ns, tag=tag, limit=query.count("n"), last=query.one("last")
        )
        await self._call(http, request)
        await self._registry.known(repository)
        async with self._reading:
            pointed = await tag_history.digests_at(self._registry.catalog, repository, tag, at_ns)
        if tag is not None and not pointed:
            await self._require(repository, tag)
        limit = self._limit(request.limit)
        rows = [each for each in pointed.items() if each[0] > request.last]
        found = await tag_history.tags_at(self._registry.catalog, repository, rows[:limit])
        document = {
            "repository": repository,
            "time": time_text(at_ns),
            "tags": [{"tag": each.tag, "digest": each.digest, "here": each.here} for each in found],
        }
        following = {"last": found[-1].tag} if 0 < limit < len(rows) else None
        return _page(AS_OF_PATH, document, query, following)

    async def restore(self, http: HttpRequest) -> web.Response:
        """POST `?repo=NAME&tag=TAG[&digest=DIGEST|&at=TIME]`, or `?repo=NAME&at=TIME` for all tags. Durable."""
        query = QueryFields(http)
        repository, tag, digest, at_ns = query.repository(), query.tag(), query.digest(), query.time_ns()
        expected = _expected(http)
        if digest is not None and at_ns is not None:
            raise QueryInvalid("digest and at exclude each other")
        if tag is None and (at_ns is None or expected is not None):
            raise QueryInvalid("tag is missing: without it, at is needed, and no condition is possible")
        asked = RestoreRepositoryTags(repository=repository, tags=(tag,) if tag else (), digest=digest, at_ns=at_ns)
        call = await self._call(http, asked)
        self._registry.refuse_if_read_only()
        await self._registry.known(repository)
        if tag is None:
            assert at_ns is not None
            return await self._restore_all(call, at_ns)
        back = await self._return_of(asked, tag)
        position = expected or (back.now if digest is None else None)
        await self._point(call, back, tag_move(self._authorizer.policy, call, tag, position))
        return _response({"repository": repository, "tag": tag, "digest": back.digest})

    async def _return_of(self, asked: RestoreRepositoryTags, tag: Tag) -> TagReturn:
        """Return what to point a single tag at. Raises ManifestUnknown."""
        catalog, repository = self._registry.catalog, asked.repository
        if asked.digest is not None:
            return TagReturn(tag, asked.digest, TagPosition())
        if asked.at_ns is None:
            try:
                return await tag_history.last_return(catalog, repository, tag)
            except RestoreRefusedError as error:
                raise ManifestUnknown(str(error), reference=tag) from error
        pointed = await tag_history.digests_at(catalog, repository, tag, asked.at_ns)
        if tag not in pointed:
            raise ManifestUnknown(f"there was no tag {tag} at that time", reference=tag)
        row = await catalog.tag(repository, tag)
        return TagReturn(tag, pointed[tag], TagPosition(row.digest if row is not None else None))

    async def _restore_all(self, asked: Call[RestoreRepositoryTags], at_ns: int) -> web.Response:
        """Restore what pointed elsewhere at a time: nothing, unless the principal may restore all of it."""
        repository = asked.request.repository
        async with self._reading:
            returns = await tag_history.returns_to(self._registry.catalog, repository, None, at_ns)
        here = await tag_history.tags_at(
            self._registry.catalog, repository, [(each.tag, each.digest) for each in returns]
        )
        gone = [each.tag for each in here if not each.here]
        possible = [back for back, found in zip(returns, here, strict=True) if found.here]
        some = possible[:RESTORED_LIMIT]
        changed: set[Tag] = set()
        if some:
            # Now that the tags are known, each needs the right that its push needs.
            request = RestoreRepositoryTags(repository=repository, tags=tuple(each.tag for each in some), at_ns=at_ns)
            call = await self._call(asked.http, request)
            pairs = [(each, tag_move(self._authorizer.policy, call, each.tag, each.now)) for each in some]
            for back, move in pairs:
                if (why := move.refusal(back.now.digest, back.digest)) is not None:
                    raise self._refused(call, tags.refusal_of(TagRefused(back.tag, why)))
            for start in range(0, len(pairs), _AT_ONCE):
                changed |= await self._point_some(call, pairs[start : start + _AT_ONCE])
        restored = [each for each in some if each.tag not in changed]
        return _response(
            {
                "repository": repository,
                "time": time_text(at_ns),
                "restored": [{"tag": each.tag, "digest": each.digest} for each in restored],
                "gone": gone[:RESTORED_LIMIT],
                "changed": sorted(changed),
                "left": len(possible) - len(some),
            }
        )

    async def _point_some(
        self, call: Call[RestoreRepositoryTags], pairs: Sequence[tuple[TagReturn, TagMove]]
    ) -> set[Tag]:
        """Point tags, whose commands the writer commits together; return those that were changed or lost meanwhile."""
        outcomes = await asyncio.gather(*(self._point(call, *pair) for pair in pairs), return_exceptions=True)
        changed: set[Tag] = set()
        for (back, _), outcome in zip(pairs, outcomes, strict=True):
            if isinstance(outcome, TagChanged | ManifestUnknown):
                changed.add(back.tag)
            elif outcome is not None:
                raise outcome
        return changed

    async def _point(self, call: Call[RestoreRepositoryTags], back: TagReturn, move: TagMove) -> None:
        try:
            await tags.restore(self._registry, call.request.repository, back.digest, move, call.principal.name)
        except NotGranted as error:
            raise self._refused(call, error) from error

    def _refused(self, call: Call[RestoreRepositoryTags], error: Exception) -> Exception:
        return self._authorizer.challenged(call, error) if isinstance(error, NotGranted) else error

    async def _call(self, http: HttpRequest, request: AnyRequest) -> Call[AnyRequest]:
        """Return the call if the policy allows it, before anything is read. Raises ErrorResponse."""
        http.request = request
        return await self._authorizer.authorize(http, request)

    async def _require(self, repository: Repository, tag: Tag) -> None:
        """Raise ManifestUnknown if a repository has no such tag, and never had one."""
        catalog = self._registry.catalog
        if await catalog.tag(repository, tag) is None and not await catalog.tag_log(repository, tag, None, 1):
            raise ManifestUnknown(f"{repository} has no tag {tag}, and never had one", reference=tag)

    def _limit(self, asked: int | None) -> int:
        return page_limit(self._registry, ROWS if asked is None else asked)


def _required_time(query: QueryFields) -> int:
    at_ns = query.time_ns()
    if at_ns is None:
        raise QueryInvalid("at is missing: a time of RFC 3339 such as 2030-05-01T12:00:00Z")
    return at_ns


def _expected(http: HttpRequest) -> TagPosition | None:
    """Return where the tag has to point, by `If-Match: "DIGEST"` or `If-None-Match: *`; None: anywhere."""
    match, absent = http.headers.get("If-Match"), http.headers.get("If-None-Match")
    if match is not None and absent is not None:
        raise QueryInvalid("If-Match and If-None-Match exclude each other")
    if absent is not None:
        if absent.strip() != "*":
            raise QueryInvalid("If-None-Match can be * only: there is no such tag")
        return TagPosition()
    if match is None:
        return None
    try:
        return TagPosition(parse_digest(match.strip().strip('"')))
    except InvalidDigestError as error:
        raise QueryInvalid(f"If-Match: {error}") from None


def _change(change: TagChange) -> dict[str, object]:
    return {
        "sequence": change.sequence,
        "time": time_text(change.at_ns),
        "tag": change.tag,
        "before": change.before,
        "after": change.after,
        "by": change.by,
        "source": change.source,
    }


def _page(path: str, document: object, query: QueryFields, following: Mapping[str, str] | None) -> web.Response:
    response = _response(document)
    if following is not None:
        kept = [(name, query.one(name)) for name in ("repo", "tag", "at", "n") if query.one(name)]
        response.headers["Link"] = f'<{path}?{urlencode([*kept, *following.items()])}>; rel="next"'
    return response


def _response(document: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), headers=_JSON)
