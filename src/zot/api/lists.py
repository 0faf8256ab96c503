"""/v2/_catalog, /v2/{name}/tags/list and /v2/{name}/referrers/{digest}."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from zot.api.authorized_request import AuthorizedRequest
from zot.api.body import TransferLimits
from zot.api.json_stream import whole
from zot.auth.decision import Policy
from zot.catalog.rows import ReferrerRow
from zot.oci.media_types import IMAGE_INDEX
from zot.oci.names import Repository
from zot.registry import pages
from zot.registry import referrers as registry_referrers
from zot.registry import repositories as registry_repositories
from zot.registry import tags as registry_tags
from zot.registry.registry import Registry
from zot.registry.request import ListReferrers, ListRepositories, ListTags

JSON = {"Content-Type": "application/json"}


async def repositories(
    registry: Registry, policy: Policy, pace: TransferLimits, call: AuthorizedRequest, request: ListRepositories
) -> web.StreamResponse:
    """GET /v2/_catalog: the repositories that the principal may read."""
    principal, circumstances = call.principal, call.circumstances

    def readable(name: Repository) -> bool:
        return policy.readable(principal, name, circumstances)

    if request.limit is None:
        return await whole(
            call.http, pace, {"repositories": []}, registry_repositories.iter_all(registry, request, readable), JSON
        )
    page = await registry_repositories.page(registry, request, readable)
    response = _json({"repositories": page.rows})
    if page.last is not None:
        _link(response, "/v2/_catalog", _next(registry, request.limit, page.last))
    return response


async def tags(
    registry: Registry, pace: TransferLimits, call: AuthorizedRequest, request: ListTags
) -> web.StreamResponse:
    """GET /v2/{name}/tags/list."""
    document = {"name": request.repository, "tags": []}
    if request.limit is None:
        return await whole(call.http, pace, document, registry_tags.iter_all(registry, request), JSON)
    page = await registry_tags.page(registry, request)
    response = _json({**document, "tags": page.rows})
    if page.last is not None:
        _link(response, f"/v2/{request.repository}/tags/list", _next(registry, request.limit, page.last))
    return response


async def referrers(
    registry: Registry, pace: TransferLimits, call: AuthorizedRequest, request: ListReferrers
) -> web.StreamResponse:
    """GET /v2/{name}/referrers/{digest}: an index of what refers to it, empty if nothing does."""
    document = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}
    headers = {"Content-Type": IMAGE_INDEX}
    if request.artifact_types:
        headers["OCI-Filters-Applied"] = "artifactType"
    if request.limit is None:
        steps = registry_referrers.iter_all(registry, request)
        described = ([_descriptor(each) for each in step] async for step in steps)
        return await whole(call.http, pace, document, described, headers)
    page = await registry_referrers.page(registry, request)
    response = _json({**document, "manifests": [_descriptor(each) for each in page.rows]}, headers)
    if page.last is not None:
        fields = _next(registry, request.limit, page.last)
        fields += [("artifactType", each) for each in request.artifact_types]
        _link(response, f"/v2/{request.repository}/referrers/{request.subject}", fields)
    return response


def _descriptor(row: ReferrerRow) -> dict[str, object]:
    descriptor: dict[str, object] = {"mediaType": row.media_type, "digest": row.digest, "size": row.size}
    if row.artifact_type is not None:
        descriptor["artifactType"] = row.artifact_type
    if row.annotations:
        descriptor["annotations"] = row.annotations
    return descriptor


def _next(registry: Registry, asked: int, last: str) -> list[tuple[str, str]]:
    return [("n", str(pages.page_limit(registry, asked))), ("last", last)]


def _link(response: web.Response, path: str, fields: list[tuple[str, str]]) -> None:
    response.headers["Link"] = f'<{path}?{urlencode(fields)}>; rel="next"'


def _json(document: object, headers: Mapping[str, str] = JSON) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), headers=headers)
