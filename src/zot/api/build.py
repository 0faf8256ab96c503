"""The HTTP application of one process, from the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zot.api import image_diff, tag_history
from zot.api.application import Application, Routes
from zot.api.authorization import Authorizer
from zot.api.body import TransferLimits
from zot.api.client_address import ClientAddresses
from zot.api.completed_requests import Observe
from zot.api.connection import ConnectionLimits, ConnectionServer
from zot.api.cors import Cors
from zot.api.distribution import Distribution
from zot.api.health import Health
from zot.api.http_request import Handler
from zot.api.middleware import Middleware, RequestIds
from zot.api.ratelimit import RateLimiter
from zot.config.http import HttpConfig
from zot.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The parts of the application besides the registry."""

    authorizer: Authorizer
    health: Health
    addresses: ClientAddresses
    workers: int = 1
    routes: Routes = field(default_factory=dict)
    """Routes of logins and extensions, beside the distribution API."""
    fallback: Handler | None = None
    """Responds to every path without a route; None: such a path is unknown."""


def build(http: HttpConfig, registry: Registry, parts: ApiParts) -> Application:
    """Return the application that responds to requests."""
    health = parts.health
    routes: Routes = {
        "/livez": {"GET": health.live},
        "/startupz": {"GET": health.startup},
        "/readyz": {"GET": health.ready},
        **tag_history.routes(registry, parts.authorizer),
        **image_diff.routes(registry, parts.authorizer),
        **parts.routes,
    }
    distribution = Distribution(registry, parts.authorizer, transfer_limits(http), parts.addresses, list(routes))
    return Application(distribution, _middleware(http, parts), routes, parts.fallback)


def transfer_limits(http: HttpConfig) -> TransferLimits:
    """Return how slow a client may be."""
    return TransferLimits(
        sending_idle_s=_limit(http.read_timeout_s),
        taking_idle_s=_limit(http.write_timeout_s),
        floor_bytes_per_s=http.limits.min_bytes_per_second,
    )


def build_server(
    http: HttpConfig, application: Application, observers: Sequence[Observe], descriptors_limit: int
) -> ConnectionServer:
    """Return the server of connections, in the running event loop.

    `descriptors_limit` is how many files the process may have open.
    """
    # A connection may need two descriptors: its own, and that of the content it sends or stages.
    connections = http.limits.max_connections or max(16, (descriptors_limit - 64) // 2)
    limits = ConnectionLimits(
        header_bytes=http.limits.max_header_bytes,
        header_s=http.limits.header_timeout_s,
        keep_alive_s=http.limits.idle_timeout_s,
        connections=connections,
        stalled_s=_limit(http.write_timeout_s) or 0.0,
    )
    return ConnectionServer(application.handle, limits, observers, application.add_headers)


def _middleware(http: HttpConfig, parts: ApiParts) -> Middleware:
    limits = http.ratelimit
    ratelimit = None
    if limits is not None and (limits.rate is not None or limits.methods):
        methods = {each.method: each.rate for each in limits.methods}
        ratelimit = RateLimiter(limits.rate, methods, parts.addresses, parts.workers)
    cors = Cors(http.allow_origin, credentials=parts.authorizer.authenticator.has_passwords)
    return Middleware(RequestIds(parts.addresses), cors, ratelimit)


def _limit(timeout_s: float) -> float | None:
    return timeout_s if timeout_s > 0 else None
