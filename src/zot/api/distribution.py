"""The distribution API: from a request's class to the use case that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from zot.api import blobs, lists, manifests, uploads
from zot.api.authorization import Authorizer
from zot.api.authorized_request import AuthorizedRequest
from zot.api.body import MemoryBudget, TransferLimits
from zot.api.client_address import ClientAddresses
from zot.api.http_request import HttpRequest
from zot.api.route import parse
from zot.registry.errors import ManifestUnknown, NameUnknown, NotGranted
from zot.registry.large_manifests import LARGE_BYTES
from zot.registry.registry import MIB, Registry
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

Handler = Callable[[AuthorizedRequest], Awaitable[web.StreamResponse]]


MANIFESTS_LIMIT_BYTES = 64 * MIB
"""Manifests on their way to one process, together; more if a single one may be larger than a quarter of it."""
SMALL_MANIFESTS_LIMIT_BYTES = 16 * MIB
"""Kept for manifests that are not large, so that large ones that wait for their turn refuse no other client's."""

# Of a path whose parsed form is remembered: 4,096 of them have to stay small.
_REMEMBERED_LENGTH = 400


@lru_cache(maxsize=4096)
def _parse_read(method: str, path: str) -> Request:
    """Return what `parse` does of a request that reads: the same few are made again and again."""
    return parse(method, path, "", tags_limit=0)


class Distribution:
    """Everything below `/v2/` that the specification names."""

    def __init__(
        self,
        registry: Registry,
        gate: Authorizer,
        pace: TransferLimits,
        addresses: ClientAddresses,
        extensions: Callable[[], list[dict[str, Any]]],
    ) -> None:
        """Take the registry, its gate, what is expected of clients, their addresses, and what `discover` answers."""
        self._registry = registry
        self._gate = gate
        self._tags_limit = registry.limits.tags_per_push
        self._extensions = extensions
        self._handlers = self._table(registry, gate, pace, addresses)

    async def handle(self, http: HttpRequest, path: str, query: str) -> web.StreamResponse:
        """Answer one request. Raises NoRouteError, RegistryError, Answered, and what storage and catalog raise."""
        if query or len(path) > _REMEMBERED_LENGTH or http.method not in {"GET", "HEAD"}:
            request = parse(http.method, path, query, tags_limit=self._tags_limit)
        else:
            request = _parse_read(http.method, path)
        http.request = request
        call = await self._gate.admit(http, request)
        try:
            return await self._handlers[type(request)](call)
        except NotGranted as error:
            raise self._gate.challenged(call, error) from error
        except (ManifestUnknown, NameUnknown) as error:
            raise self._gate.unknown(call, error) from error

    def _table(
        self, registry: Registry, gate: Authorizer, pace: TransferLimits, addresses: ClientAddresses
    ) -> dict[type[Request], Handler]:
        def to(function: Callable[..., Awaitable[web.StreamResponse]], *parts: object) -> Handler:
            return lambda call: function(*parts, call, call.request)

        limit_bytes = max(MANIFESTS_LIMIT_BYTES, 4 * registry.limits.manifest_bytes)
        room = MemoryBudget(limit_bytes, LARGE_BYTES, SMALL_MANIFESTS_LIMIT_BYTES)
        return {
            Ping: self._ping,
            Discover: self._discover,
            ListRepositories: to(lists.repositories, registry, gate.policy, pace),
            ListTags: to(lists.tags, registry, pace),
            ListReferrers: to(lists.referrers, registry, pace),
            PullManifest: to(manifests.get, registry, pace),
            PushManifest: to(manifests.put, registry, gate.policy, pace, room),
            DeleteManifest: to(manifests.remove, registry, gate.policy),
            PullBlob: to(blobs.get, registry, pace),
            DeleteBlob: to(blobs.remove, registry),
            BeginUpload: to(uploads.begin, registry, gate.policy, pace, addresses),
            UploadStatus: to(uploads.status, registry),
            AppendUpload: to(uploads.append, registry, pace),
            FinishUpload: to(uploads.finish, registry, pace),
            CancelUpload: to(uploads.cancel, registry),
        }

    async def _ping(self, call: AuthorizedRequest) -> web.Response:
        headers = CIMultiDict({"Content-Type": "application/json"})
        if not call.principal.authenticated and call.principal.whole is None:
            # Clients ask here how to log in, even where anonymous reading is allowed.
            headers.extend(self._gate.doorkeeper.challenge(call.http, call.request))
        return web.Response(headers=headers)

    async def _discover(self, call: AuthorizedRequest) -> web.Response:
        del call
        return web.json_response({"extensions": self._extensions()})
