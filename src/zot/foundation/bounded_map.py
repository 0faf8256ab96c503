"""A map with a limited number of entries, for caches that must not grow without bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedMap(MutableMapping[K, V]):
    """A map that drops its oldest entry when it is full.

    Setting an entry makes it the newest; so does `use`, which makes the map a cache that drops the least recently used
    entry. Other reads do not change the order. Not safe for concurrent use by several threads.
    """

    def __init__(self, limit: int, weigh: Callable[[V], int] | None = None) -> None:
        """Hold at most `limit` entries or, with `weigh`, entries whose weights add up to at most `limit`."""
        self._limit = limit
        self._weigh = weigh or (lambda _: 1)
        self._weight = 0
        self._entries: OrderedDict[K, V] = OrderedDict()

    def use(self, key: K) -> V | None:
        """Return an entry's value and make the entry the newest; None if there is no such entry."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def __getitem__(self, key: K) -> V:
        """Return the value of an entry."""
        return self._entries[key]

    def __setitem__(self, key: K, value: V) -> None:
        """Set an entry and drop the oldest entries beyond the limit."""
        if key in self._entries:
            del self[key]
        self._entries[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._limit:
            self._weight -= self._weigh(self._entries.popitem(last=False)[1])

    def __delitem__(self, key: K) -> None:
        """Delete an entry."""
        self._weight -= self._weigh(self._entries.pop(key))

    def __contains__(self, key: object) -> bool:
        """Tell whether there is such an entry."""
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys, the oldest first."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)
