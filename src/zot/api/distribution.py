"""The distribution API: from a request's class to the handler that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from zot.api.authorization import AnyRequest, Authorizer, Call
from zot.api.blobs import Blobs
from zot.api.body import TransferLimits
from zot.api.client_address import ClientAddresses
from zot.api.http_request import HttpRequest
from zot.api.lists import Lists
from zot.api.manifests import Manifests
from zot.api.route import parse
from zot.api.uploads import Uploads
from zot.registry.errors import ManifestUnknown, NameUnknown, NotGranted
from zot.registry.registry import Registry
from zot.registry.request import (
    AppendUpload,
    BeginUpload,
    CancelUpload,
    DeleteBlob,
    DeleteManifest,
    Discover,
    FinishUpload,
    ListReferrers,
    ListRepositories,
    ListTags,
    Ping,
    PullBlob,
    PullManifest,
    PushManifest,
    Request,
    UploadStatus,
)

# zot's extension, which its clients look for by this name, and the endpoints that it may have, in zot's order.
_EXTENSION = {
    "name": "_zot",
    "url": "https://github.com/project-zot/zot/blob/main/pkg/extensions/_zot.md",
    "description": "zot registry extensions",
}
_ENDPOINTS = tuple(
    f"/v2/_zot/ext/{name}"
    for name in (
        *("notation", "cosign", "search", "userprefs", "mgmt"),
        # Those beyond zot's.
        *("explain", "history", "asof", "restore", "diff", "usage"),
    )
)

# Of a path whose parsed form is remembered: 4,096 of them have to stay small.
_REMEMBERED_LENGTH = 400


@lru_cache(maxsize=4096)
def _parse_read(method: str, path: str) -> Request:
    """Return what `parse` returns for a request that reads: the same few are made again and again."""
    return parse(method, path, "", tags_limit=0)


class Distribution:
    """Everything below `/v2/` that the specification names."""

    def __init__(
        self,
        registry: Registry,
        authorizer: Authorizer,
        limits: TransferLimits,
        addresses: ClientAddresses,
        other_paths: Collection[str],
    ) -> None:
        """Serve one registry; `discover` lists which of the `other_paths` are endpoints of extensions."""
        self._authorizer = authorizer
        self._tags_limit = registry.limits.tags_per_push
        endpoints = [each for each in _ENDPOINTS if each in other_paths]
        self._discovered = msgspec.json.encode(
            {"extensions": [{**_EXTENSION, "endpoints": endpoints}] if endpoints else []}
        )
        self._handlers: dict[type[Request], Callable[[Call[Any]], Awaitable[web.StreamResponse]]] = {}
        manifests = Manifests(registry, authorizer.policy, limits)
        blobs = Blobs(registry, authorizer.policy, limits)
        uploads = Uploads(registry, authorizer.policy, limits, addresses)
        lists = Lists(registry, authorizer.policy, limits)
        self._route(Ping, self._ping)
        self._route(Discover, self._discover)
        self._route(PullManifest, manifests.pull)
        self._route(PushManifest, manifests.push)
        self._route(DeleteManifest, manifests.delete)
        self._route(PullBlob, blobs.pull)
        self._route(DeleteBlob, blobs.delete)
        self._route(BeginUpload, uploads.begin)
        self._route(UploadStatus, uploads.status)
        self._route(AppendUpload, uploads.append)
        self._route(FinishUpload, uploads.finish)
        self._route(CancelUpload, uploads.cancel)
        self._route(ListRepositories, lists.repositories)
        self._route(ListTags, lists.tags)
        self._route(ListReferrers, lists.referrers)

    def _route(
        self, request: type[AnyRequest], handler: Callable[[Call[AnyRequest]], Awaitable[web.StreamResponse]]
    ) -> None:
        """Have requests of a class handled. The types of both belong together, which the type checker holds."""
        self._handlers[request] = handler

    async def handle(self, http: HttpRequest, path: str, query: str) -> web.StreamResponse:
        """Respond to one request. Raises NoRouteError, RegistryError, ErrorResponse, StorageError, CatalogError."""
        if query or len(path) > _REMEMBERED_LENGTH or http.method not in {"GET", "HEAD"}:
            request = parse(http.method, path, query, tags_limit=self._tags_limit)
        else:
            request = _parse_read(http.method, path)
        http.request = request
        call = await self._authorizer.authorize(http, request)
        try:
            return await self._handlers[type(request)](call)
        except NotGranted as error:
            raise self._authorizer.challenged(call, error) from error
        except (ManifestUnknown, NameUnknown) as error:
            raise self._authorizer.unknown(call, error) from error

    async def _ping(self, call: Call[Ping]) -> web.Response:
        headers = CIMultiDict({"Content-Type": "application/json"})
        if not call.principal.authenticated and call.principal.token_owner is None:
            # Clients learn here how to log in, even where anonymous reading is allowed.
            headers.extend(self._authorizer.authenticator.challenge(call.http, call.request))
        return web.Response(headers=headers)

    async def _discover(self, call: Call[Discover]) -> web.Response:
        del call
        return web.Response(body=self._discovered, headers={"Content-Type": "application/json"})
