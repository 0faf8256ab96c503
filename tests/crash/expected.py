"""The content that a registry must have after a crash, derived from the answers of its clients.

A deliberately small model: blobs, manifests and tags by name, no rule of the registry. Each step says what it makes of
them; a step that was not answered is there wholly or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from zot.registry.errors import BlobUnknown, ManifestUnknown, NameUnknown

if TYPE_CHECKING:
    from crash.store import Store


class Key(NamedTuple):
    """A blob or manifest by its digest, or a tag by its name."""

    kind: str
    repository: str
    name: str


Contents = Mapping[Key, str]
"""The content: a tag with its digest, a blob or manifest with nothing."""


@dataclass(frozen=True, eq=False)
class Step:
    """A request, with its effects on the content (None: deleted)."""

    name: str
    effects: Mapping[Key, str | None]
    act: Callable[[Store], Awaitable[object]]
    each: bool = False
    """The effects are separate steps in any order, as of a collection, rather than one."""

    def again(self) -> Step:
        """Return the same request, repeated by a client without an answer: what it deletes may be gone already."""

        async def act(store: Store) -> None:
            with suppress(BlobUnknown, ManifestUnknown, NameUnknown):
                await self.act(store)

        return Step(f"{self.name} again", self.effects, act, self.each)


@dataclass(frozen=True)
class Expected:
    """The possible contents at a moment."""

    steps: tuple[tuple[Step, bool], ...] = ()
    """The steps begun so far, in order, each with whether it was answered."""

    def began(self, step: Step) -> Expected:
        """Return the expectation after a step began."""
        return Expected((*self.steps, (step, False)))

    def acknowledged(self, step: Step) -> Expected:
        """Return the expectation after a step was answered."""
        return Expected(tuple((each, done or each is step) for each, done in self.steps))

    @property
    def waiting(self) -> list[Step]:
        """The steps that clients wait for: those without an answer after the last one that had one."""
        return [step for step, _ in takewhile(lambda each: not each[1], reversed(self.steps))][::-1]

    def possible(self) -> Iterator[Contents]:
        """Iterate over the possible contents."""
        yield from _possible({}, self.steps)


def _possible(contents: dict[Key, str], steps: Sequence[tuple[Step, bool]]) -> Iterator[Contents]:
    for position, (step, done) in enumerate(steps):
        if not done:
            rest = steps[position + 1 :]
            yield from _possible(dict(contents), rest)
            for effects in _parts(step):
                yield from _possible(_changed(contents, effects), rest)
            return
        contents = _changed(contents, step.effects)
    yield contents


def _parts(step: Step) -> Iterator[Mapping[Key, str | None]]:
    """Iterate over the possible partial effects of a step, without the empty one."""
    if not step.each:
        yield step.effects
        return
    items = list(step.effects.items())
    for chosen in range(1, 1 << len(items)):
        yield {key: value for number, (key, value) in enumerate(items) if chosen >> number & 1}


def _changed(contents: Mapping[Key, str], effects: Mapping[Key, str | None]) -> dict[Key, str]:
    changed = {**contents, **{key: value for key, value in effects.items() if value is not None}}
    for key, value in effects.items():
        if value is None:
            changed.pop(key, None)
    return changed
