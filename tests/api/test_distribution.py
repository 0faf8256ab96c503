"""Which handler serves which request."""

from __future__ import annotations

import typing

import pytest

from zot.api.authorization import Authorizer, Call
from zot.api.body import TransferLimits
from zot.api.client_address import ClientAddresses
from zot.api.distribution import Distribution
from zot.catalog.memory.driver import MemoryCatalog
from zot.registry.registry import Registry
from zot.registry.request import (
    DiffImages,
    ListTagChanges,
    ListTagsAsOf,
    ListTagUsage,
    ListUsage,
    Request,
    RestoreRepositoryTags,
    UseExtension,
    WatchEvents,
)
from zot.storage.memory import MemoryStorage

WITH_ROUTES_OF_THEIR_OWN = {
    DiffImages,
    ListTagChanges,
    ListTagUsage,
    ListTagsAsOf,
    ListUsage,
    RestoreRepositoryTags,
    UseExtension,
    WatchEvents,
}
"""Requests beyond the distribution API, below `/v2/_zot/ext/`."""


def concrete(request: type[Request]) -> list[type[Request]]:
    """The classes below one that the parser makes values of."""
    found = [each for child in request.__subclasses__() for each in concrete(child)]
    return found or [request]


@pytest.fixture(scope="module")
def distribution() -> Distribution:
    """The distribution API on nothing much."""
    registry = Registry(catalog=MemoryCatalog(), storage=MemoryStorage())
    return Distribution(registry, Authorizer(), TransferLimits(), ClientAddresses(), ())


@pytest.mark.parametrize("request_class", [each for each in concrete(Request) if each.__module__ == Request.__module__])
def test_each_request_has_a_handler_of_its_type(distribution: Distribution, request_class: type[Request]) -> None:
    """Each class of the distribution API is served, by a handler that takes calls of that class."""
    handler = distribution._handlers.get(request_class)
    if request_class in WITH_ROUTES_OF_THEIR_OWN:
        assert handler is None
        return
    assert handler is not None
    assert typing.get_type_hints(handler)["call"] == Call[request_class]  # type: ignore[valid-type]
