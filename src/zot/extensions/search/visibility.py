"""Which repositories a principal may read, as the queries of the index take it: computed once, and remembered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable, Iterable
from typing import NamedTuple

import msgspec

from zot.auth.decision import NO_CONTEXT, Policy, RequestContext
from zot.auth.principal import Principal
from zot.extensions.search.interface import Search, Visible
from zot.foundation.bounded_map import BoundedMap
from zot.foundation.threads import ThreadPool
from zot.oci.names import Repository

# Names in all remembered sets together: about 64 bytes each.
_NAMES_LIMIT = 500_000
# Decisions about more repositories are made in a thread.
_DECISIONS_AT_ONCE = 100
# What depends on the time holds so long.
_TIMED_S = 1.0


class _Known(NamedTuple):
    names: frozenset[Repository]
    """All repositories when it was computed."""
    visible: frozenset[Repository]
    until_s: float


class VisibleRepositories:
    """The repositories that each principal may read, by one policy; a changed policy needs another instance.

    With 10,000 repositories the first request of a principal takes some 50 ms in a thread, more with conditions. The
    sets of principals with the same rights are one object.
    """

    def __init__(self, policy: Policy, search: Search, pool: ThreadPool) -> None:
        self._policy = policy
        self._search = search
        self._pool = pool
        self._known: BoundedMap[Hashable, _Known] = BoundedMap(_NAMES_LIMIT, lambda known: 64 + len(known.visible))

    async def of(self, principal: Principal, context: RequestContext = NO_CONTEXT) -> Visible:
        """Return the repositories that the principal may read; None: all.

        Raises SearchUnavailableError, ThreadPoolBusyError. By a condition on the time it is up to a second old.
        """
        if self._policy.reads_everything(principal):
            return None
        names = await self._search.names()
        key = self._key(principal, context)
        known = self._known.use(key)
        now_s = asyncio.get_running_loop().time()
        if known is not None and known.names is names and now_s < known.until_s:
            return known.visible
        kept: frozenset[Repository] = frozenset()
        undecided = names
        if known is not None and now_s < known.until_s:
            kept, undecided = known.visible & names, names - known.names
        readable = await self._readable(principal, context, undecided)
        visible = self._shared(kept | readable)
        expires = any(scope.expires_s is not None for scope in principal.scopes or ())
        until_s = now_s + _TIMED_S if expires or self._policy.timed else math.inf
        self._known[key] = _Known(names, visible, until_s)
        return visible

    async def _readable(
        self, principal: Principal, context: RequestContext, names: frozenset[Repository]
    ) -> frozenset[Repository]:
        def decide(some: Iterable[Repository]) -> frozenset[Repository]:
            return frozenset(name for name in some if self._policy.readable(principal, name, context))

        return decide(names) if len(names) <= _DECISIONS_AT_ONCE else await self._pool.run(decide, names)

    def _shared(self, visible: frozenset[Repository]) -> frozenset[Repository]:
        """Return the object that is remembered for an equal set: the index knows sets by identity."""
        return next((each.visible for each in self._known.values() if each.visible == visible), visible)

    def _key(self, principal: Principal, context: RequestContext) -> Hashable:
        scopes = tuple((repr(each.repositories), each.actions, each.expires_s) for each in principal.scopes or ())
        subject = (principal.name, principal.method, principal.groups, principal.scopes is None, scopes)
        if not self._policy.conditional:
            return subject
        # Conditions may look at everything.
        return (*subject, msgspec.json.encode(principal.claims, order="deterministic"), context)
