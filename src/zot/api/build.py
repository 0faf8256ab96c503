"""The HTTP application of one process, from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from zot.api.application import Application, Routes
from zot.api.body import Pace
from zot.api.connection import ConnectionLimits, ConnectionServer, Observe
from zot.api.distribution import Distribution
from zot.api.gate import Gate
from zot.api.health import Health
from zot.config.http import Http
from zot.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of besides the distribution API."""

    gate: Gate
    health: Health
    observers: tuple[Observe, ...] = ()
    routes: Routes | None = None
    descriptors_limit: int = 4096
    """How many files the process may have open."""


def build(http: Http, registry: Registry, parts: Parts) -> ConnectionServer:
    """Return what answers connections. Must be called in the running event loop that will serve them."""
    pace = Pace(idle_s=_limit(http.read_timeout_s), floor_bytes_per_s=http.limits.min_bytes_per_second)
    distribution = Distribution(registry, parts.gate, pace, list)
    health = parts.health
    routes: Routes = {
        "/livez": {"GET": health.live},
        "/startupz": {"GET": health.startup},
        "/readyz": {"GET": health.ready},
        **(parts.routes or {}),
    }
    application = Application(distribution, routes)
    return ConnectionServer(application.handle, _connection_limits(http, parts.descriptors_limit), parts.observers)


def _connection_limits(http: Http, descriptors_limit: int) -> ConnectionLimits:
    # A connection may need two descriptors: its own, and that of the content it sends or stages.
    connections = http.limits.max_connections or max(16, (descriptors_limit - 64) // 2)
    return ConnectionLimits(
        header_bytes=http.limits.max_header_bytes,
        header_s=http.limits.header_timeout_s,
        keep_alive_s=http.limits.idle_timeout_s,
        connections=connections,
        stalled_s=_limit(http.write_timeout_s) or 0.0,
    )


def _limit(timeout_s: float) -> float | None:
    return timeout_s if timeout_s > 0 else None
