"""What this build has: its extensions, and the features that a configuration may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zot.extensions.declaration import Extension
from zot.extensions.events.extension import EXTENSION as EVENTS
from zot.extensions.layers.extension import EXTENSION as LAYERS
from zot.extensions.metrics.extension import EXTENSION as METRICS
from zot.extensions.scrub.extension import EXTENSION as SCRUB
from zot.extensions.search.extension import EXTENSION as SEARCH
from zot.extensions.sync.extension import EXTENSION as SYNC
from zot.extensions.ui.extension import EXTENSION as UI

if TYPE_CHECKING:
    from zot.admin.events import EventDeliveries
    from zot.auth.decision import Policy
    from zot.config.model import Config
    from zot.extensions.layers.interface import LayerFiles
    from zot.extensions.search.interface import Search, Visibility
    from zot.extensions.sync.build import Mirrors
    from zot.foundation.threads import ThreadPool
    from zot.server.store import Store

EXTENSIONS: tuple[Extension, ...] = (EVENTS, LAYERS, METRICS, SCRUB, SEARCH, SYNC, UI)
"""The one list of extensions; each declares what it adds."""


def open_search(store: Store) -> Search | None:
    """Return what answers queries from the index in this process; None if search is not enabled."""
    if not store.config.extensions.search_enabled:
        return None
    from zot.extensions.search.index.build import open_search as open_index  # noqa: PLC0415 (brings the index)

    return open_index(store.config, store.catalog, store.statistics)


def visibility(policy: Policy, search: Search | None, pool: ThreadPool) -> Visibility | None:
    """Return what each principal may see of the index by a policy; None if search is not enabled."""
    if search is None:
        return None
    from zot.extensions.search.visibility import VisibleRepositories  # noqa: PLC0415 (only where there is search)

    return VisibleRepositories(policy, search, pool)


def open_mirrors(config: Config, pool: ThreadPool) -> Mirrors | None:
    """Return the registries that this process mirrors; None if there are none. Their files are read in the pool."""
    if not config.extensions.sync_enabled:
        return None
    from zot.extensions.sync.build import Mirrors  # noqa: PLC0415 (only where there is an upstream)

    return Mirrors(config, pool)


def open_deliveries(store: Store) -> EventDeliveries | None:
    """Return what answers operators' questions about events in this process; None if they are not enabled."""
    if not store.config.extensions.events_enabled or store.plan.memory:
        return None
    from zot.extensions.events.build import open_deliveries as open_events  # noqa: PLC0415 (only where there are events)

    return open_events(store.config, store.catalog, store.pools.read)


def open_layer_files(store: Store) -> LayerFiles | None:
    """Return what answers from the file lists of layers in this process; None if they are not enabled."""
    if store.config.extensions.layer_files is None:
        return None
    from zot.extensions.layers.files import ListedLayerFiles  # noqa: PLC0415 (only where there are pages)

    return ListedLayerFiles(store.plan.state.layers_database, store.registry(store.config))


_CORE = frozenset(
    {
        "storage.cacheDriver.name=postgres",
        "storage.cacheDriver.name=redis",
        "storage.gc",
        "storage.maxRepos",
        "storage.quotas",
        "storage.readOnly",
        "storage.redirectBlobURL",
        "storage.retention",
        "storage.storageDriver.name=s3",
        "http.accessControl",
        "http.accessControl.immutableTags",
        "http.auth.apikey",
        "http.auth.bearer",
        "http.auth.bearer.awsSecretsManager",
        "http.auth.bearer.oidc",
        "http.auth.bearer.upstreamTokenEndpoint",
        "http.auth.failDelay",
        "http.auth.htpasswd",
        "http.auth.ldap",
        "http.auth.mtls",
        "http.auth.openid",
        "http.auth.sessionDriver.name=redis",
        "http.tls",
        "http.ratelimit",
        "http.unixSocket",
        "cluster",
        "log.audit",
        "scheduler",
    }
)

BUILT = _CORE.union(*(each.features for each in EXTENSIONS))
"""Entries of `zot.config.supported.FEATURES`; a key that asks for another one is refused at start."""
