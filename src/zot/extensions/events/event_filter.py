"""Which events a sink or a watcher wants."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from zot.catalog.command import ChangeSource
from zot.config.globs import compile_glob
from zot.extensions.events.event import Event, EventType

PREFIX = "zotregistry."
ALWAYS = frozenset({ChangeSource.CLIENT, ChangeSource.OPERATOR})
"""Sources of changes of which everything tells that does not name others."""
OPTIONAL = tuple(each for each in ChangeSource if each not in ALWAYS)


class EventFilter:
    """A condition on events; every part of it has to hold."""

    def __init__(
        self, types: Sequence[str] = (), repositories: Sequence[str] = (), include: Collection[str] = ()
    ) -> None:
        """Take types, with or without their prefix, globs of repositories, and sources beside users; empty: any.

        Without `include` only changes that users and operators made pass. Raises ValueError.
        """
        self._types = frozenset(_type_of(each) for each in types)
        self._globs = [compile_glob(each) for each in repositories]
        self._sources = ALWAYS | {_source_of(each) for each in include}

    def matches(self, event: Event) -> bool:
        """Tell whether the event is wanted."""
        return (
            event.source in self._sources
            and (not self._types or event.type in self._types)
            and (not self._globs or any(each.matches(event.repository) for each in self._globs))
        )


def _type_of(name: str) -> EventType:
    try:
        return EventType(name if name.startswith(PREFIX) else PREFIX + name)
    except ValueError:
        known = ", ".join(each.removeprefix(PREFIX) for each in EventType)
        raise ValueError(f"there is no event type {name[:100]!r}: use one of {known}") from None


def _source_of(name: str) -> ChangeSource:
    if name not in OPTIONAL:
        raise ValueError(f"{name[:100]!r} is no source of events: use one of {', '.join(OPTIONAL)}")
    return ChangeSource(name)
