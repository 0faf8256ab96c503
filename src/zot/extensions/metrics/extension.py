"""The declaration of `extensions.metrics`."""

from __future__ import annotations

from collections.abc import Sequence

from zot.config.model import Config
from zot.extensions.declaration import Extension, ExtensionRoute, HttpContext


def page_path(config: Config) -> str | None:
    """Return the path of the metrics' page, None if there is none."""
    metrics = config.extensions.metrics
    return metrics.prometheus.path if metrics is not None and metrics.enable else None


def _records(config: Config) -> bool:
    return page_path(config) is not None


def _routes(context: HttpContext) -> Sequence[ExtensionRoute]:
    from zot.api.metrics.metrics import MetricsPage  # noqa: PLC0415 (brings the metrics library)
    from zot.auth.credentials import ResourceClass  # noqa: PLC0415

    path = page_path(context.config)
    # What nothing has recorded since the start is not shown.
    if path is None or context.metrics is None or context.state is None:
        return []
    page = MetricsPage(context.metrics, context.state)
    return [ExtensionRoute(path, "GET", ResourceClass.METRICS, page.get, context.policy.reads_metrics)]


EXTENSION = Extension("metrics", frozenset({"extensions.metrics"}), records=_records, routes=_routes)
