"""/v2/_catalog, /v2/{name}/tags/list and /v2/{name}/referrers/{digest}."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from aiohttp import web

from zot.api.call import Call
from zot.auth.decision import Policy
from zot.catalog.rows import ReferrerRow
from zot.oci.media_types import IMAGE_INDEX
from zot.registry import lists
from zot.registry.registry import Registry
from zot.registry.request import ListReferrers, ListRepositories, ListTags


async def repositories(registry: Registry, policy: Policy, call: Call, request: ListRepositories) -> web.Response:
    """GET /v2/_catalog: the repositories that the principal may read."""
    principal, circumstances = call.principal, call.circumstances
    page = await lists.repositories(registry, request, lambda name: policy.readable(principal, name, circumstances))
    response = _json({"repositories": page.repositories})
    if page.last is not None:
        _link(response, "/v2/_catalog", _next(registry, request.limit, page.last))
    return response


async def tags(registry: Registry, call: Call, request: ListTags) -> web.Response:
    """GET /v2/{name}/tags/list."""
    del call
    page = await lists.tags(registry, request)
    response = _json({"name": request.repository, "tags": page.tags})
    if page.last is not None:
        _link(response, f"/v2/{request.repository}/tags/list", _next(registry, request.limit, page.last))
    return response


async def referrers(registry: Registry, call: Call, request: ListReferrers) -> web.Response:
    """GET /v2/{name}/referrers/{digest}: an index of what refers to it, empty if nothing does."""
    del call
    page = await lists.referrers(registry, request)
    document = {
        "schemaVersion": 2,
        "mediaType": IMAGE_INDEX,
        "manifests": [_descriptor(each) for each in page.referrers],
    }
    response = _json(document, IMAGE_INDEX)
    if request.artifact_types:
        response.headers["OCI-Filters-Applied"] = "artifactType"
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


def _next(registry: Registry, asked: int | None, last: str) -> list[tuple[str, str]]:
    limit = registry.limits.page if asked is None else min(asked, registry.limits.page)
    return [("n", str(limit)), ("last", last)]


def _link(response: web.Response, path: str, fields: list[tuple[str, str]]) -> None:
    response.headers["Link"] = f'<{path}?{urlencode(fields)}>; rel="next"'


def _json(document: object, content_type: str = "application/json") -> web.Response:
    return web.Response(body=msgspec.json.encode(document), headers={"Content-Type": content_type})
