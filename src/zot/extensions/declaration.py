"""What an extension adds to the server, declared by it in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a check of the configuration reads declarations, and needs none of these libraries
    from zot.admin.asking import Ask
    from zot.api.auth.authentication import HttpAuthenticator
    from zot.api.authorization import Authorizer
    from zot.api.http_request import Handler
    from zot.api.metrics.metrics import Metrics
    from zot.api.metrics.state import ServerState
    from zot.auth.build import Auth
    from zot.auth.credentials import ResourceClass
    from zot.auth.decision import Policy
    from zot.auth.principal import Principal
    from zot.config.model import Config
    from zot.extensions.layers.interface import LayerFiles
    from zot.extensions.search.interface import Search, Visibility
    from zot.foundation.threads import ThreadPool
    from zot.maintenance.build import MaintenanceParts
    from zot.maintenance.scheduler import Task
    from zot.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class HttpContext:
    """What the handlers of an extension may use, in each process that answers requests."""

    config: Config
    registry: Registry
    policy: Policy
    metrics: Metrics | None
    """What this process records; None if no extension wants it recorded."""
    state: ServerState | None
    """What is read when metrics are asked for; None as `metrics`."""
    authorizer: Authorizer
    """Who sends a request, and whether it may: what guards every route."""
    auth: Auth
    """The ways to log in, accounts and sessions."""
    authenticator: HttpAuthenticator | None
    """Cookies and credentials; None: there is no way to log in."""
    pool: ThreadPool
    """For work of handlers that would block the event loop; its threads last as long as the process."""
    search: Search | None
    """The index of all images; None: search is not enabled."""
    visibility: Visibility | None
    """What each principal may see of it; None: search is not enabled."""
    ask: Ask
    """Asks the process that works in the background, as commands of operators do."""
    layer_files: LayerFiles | None
    """The file lists of layers; None: they are not enabled."""


@dataclass(frozen=True, slots=True)
class ExtensionRoute:
    """A path outside the distribution API, and which principals may use it."""

    path: str
    method: str
    resource_class: ResourceClass
    handler: Handler
    may: Callable[[Principal], bool]
    """Whether a principal may use it; others are challenged or refused before the handler is called."""


def _none(*_: object) -> tuple[()]:
    return ()


def _never(_: object) -> bool:
    return False


def _no_pages(_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension: the server learns from this what it adds, and knows no extension by name.

    Its section of the configuration is a model of `zot.config.extensions`. Each function is called again with a
    configuration that was reloaded. A declaration imports its libraries in them, so that it is read fast.
    """

    name: str
    features: frozenset[str]
    """The entries of `zot.config.supported.FEATURES` that it builds: their keys are refused without it."""
    records: Callable[[Config], bool] = _never
    """Whether the processes of the server record metrics for it."""
    routes: Callable[[HttpContext], Sequence[ExtensionRoute]] = _none
    pages: Callable[[HttpContext], Handler | None] = _no_pages
    """What responds to every path that is no route, whatever the method; None: nothing does. It guards itself."""
    jobs: Callable[[Config, MaintenanceParts], Sequence[Task]] = _none
    """Tasks of the scheduler, in the one process that works in the background; a read-only registry has them too."""
    consumers: Callable[[Config, MaintenanceParts], Sequence[Callable[[], Awaitable[None]]]] = _none
    """What follows the catalog's change log (`Catalog.changes`) in that process until it is cancelled.

    One that fails ends the process, which is replaced: a consumer handles its own errors. They are built once, by the
    configuration of the start.
    """
    exclusive_consumers: Callable[[Config, MaintenanceParts], Sequence[Callable[[], Awaitable[None]]]] = _none
    """The same for what one server alone does of several that share a catalog: the one that maintains it."""
