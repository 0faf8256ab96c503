"""/v2/_catalog, /v2/{name}/tags/list and /v2/{name}/referrers/{digest}."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from zot.api.authorization import Call
from zot.api.body import TransferLimits
from zot.api.json_stream import send_list
from zot.auth.decision import Policy
from zot.catalog.rows import ReferrerRow
from zot.oci.media_types import IMAGE_INDEX
from zot.oci.names import Repository
from zot.registry import referrers, repositories, tags
from zot.registry.pages import page_limit
from zot.registry.registry import Registry
from zot.registry.request import ListReferrers, ListRepositories, ListTags

JSON = {"Content-Type": "application/json"}


class Lists:
    """Handles the requests for lists: a page where the client gives a limit, else the whole list."""

    def __init__(self, registry: Registry, policy: Policy, limits: TransferLimits) -> None:
        """Serve one registry."""
        self._registry = registry
        self._policy = policy
        self._limits = limits

    async def repositories(self, call: Call[ListRepositories]) -> web.StreamResponse:
        """GET /v2/_catalog: the repositories that the principal may read."""
        request = call.request

        def readable(name: Repository) -> bool:
            return self._policy.readable(call.principal, name, call.context)

        if request.limit is None:
            steps = repositories.iter_all(self._registry, request, readable)
            return await send_list(call.http, self._limits, {"repositories": []}, steps, JSON)
        page = await repositories.page(self._registry, request, readable)
        response = _json({"repositories": page.rows})
        if page.last is not None:
            _link(response, "/v2/_catalog", self._next(request.limit, page.last))
        return response

    async def tags(self, call: Call[ListTags]) -> web.StreamResponse:
        """GET /v2/{name}/tags/list."""
        request = call.request
        document = {"name": request.repository, "tags": []}
        if request.limit is None:
            return await send_list(call.http, self._limits, document, tags.iter_all(self._registry, request), JSON)
        page = await tags.page(self._registry, request)
        response = _json({**document, "tags": page.rows})
        if page.last is not None:
            _link(response, f"/v2/{request.repository}/tags/list", self._next(request.limit, page.last))
        return response

    async def referrers(self, call: Call[ListReferrers]) -> web.StreamResponse:
        """GET /v2/{name}/referrers/{digest}: an index of what refers to it, empty if nothing does."""
        request = call.request
        document = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}
        headers = {"Content-Type": IMAGE_INDEX}
        if request.artifact_types:
            headers["OCI-Filters-Applied"] = "artifactType"
        if request.limit is None:
            steps = referrers.iter_all(self._registry, request)
            described = ([_descriptor(each) for each in step] async for step in steps)
            return await send_list(call.http, self._limits, document, described, headers)
        page = await referrers.page(self._registry, request)
        response = _json({**document, "manifests": [_descriptor(each) for each in page.rows]}, headers)
        if page.last is not None:
            fields = self._next(request.limit, page.last)
            fields += [("artifactType", each) for each in request.artifact_types]
            _link(response, f"/v2/{request.repository}/referrers/{request.subject}", fields)
        return response

    def _next(self, asked: int, last: str) -> list[tuple[str, str]]:
        return [("n", str(page_limit(self._registry, asked))), ("last", last)]


def _descriptor(row: ReferrerRow) -> dict[str, object]:
    descriptor: dict[str, object] = {"mediaType": row.media_type, "digest": row.digest, "size": row.size}
    if row.artifact_type is not None:
        descriptor["artifactType"] = row.artifact_type
    if row.annotations:
        descriptor["annotations"] = row.annotations
    return descriptor


def _link(response: web.Response, path: str, fields: list[tuple[str, str]]) -> None:
    response.headers["Link"] = f'<{path}?{urlencode(fields)}>; rel="next"'


def _json(document: object, headers: Mapping[str, str] = JSON) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), headers=headers)
