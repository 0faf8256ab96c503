"""All orders of the steps of actors, on the in-memory drivers, with a check after every step."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import msgspec

from zot.catalog.command import Command
from zot.catalog.memory.driver import MemoryCatalog
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.storage.interface import ContentMissingError
from zot.storage.memory import MemoryStorage

# Rounds of the event loop after which every actor that can continue has reached its next step.
_ROUNDS = 10

_ACTOR: ContextVar[str] = ContextVar("actor", default="")


class Gate:
    """Where actors wait for their next step, a step being one call of the catalog or the storage."""

    def __init__(self) -> None:
        self.open = True
        self.waiting: dict[tuple[str, int], asyncio.Future[None]] = {}
        self.history: dict[str, tuple[str, ...]] = {}

    async def step(self, name: str) -> None:
        """Wait for the schedule, and record the step if it has a name. Steps outside of actors do not wait."""
        actor = _ACTOR.get()
        if not actor or self.open:
            return
        number = 0
        while (actor, number) in self.waiting:
            number += 1
        self.waiting[actor, number] = asyncio.get_running_loop().create_future()
        await self.waiting[actor, number]
        if name:
            self.note(name)

    def note(self, what: object) -> None:
        """Record what an actor did or learnt: its next steps depend on nothing else.

        A repeated request with the same answer leads to no new state.
        """
        actor = _ACTOR.get()
        before = self.history.get(actor, ())
        if before[-1:] != (str(what),):
            self.history[actor] = (*before, str(what))

    async def settle(self) -> None:
        """Return when every actor waits here or has ended."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)


class SteppedCatalog(MemoryCatalog):
    """A catalog each call of which is a step, as far as blobs are concerned."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate
        self._placings: list[int] = []

    async def do(self, command: Command[Any]) -> Any:
        """Carry out a change as one step."""
        await self._gate.step("")
        outcome = await super().do(command)
        self._gate.note((type(command).__name__, outcome))
        return outcome

    async def blob(self, repository: Repository, digest: Digest) -> Any:
        """Read as one step: the reader may act on it later."""
        await self._gate.step("")
        row = await super().blob(repository, digest)
        self._gate.note(("blob", row and msgspec.structs.replace(row, placed_ns=self._number(row.placed_ns))))
        return row

    def _number(self, placed_ns: int) -> int:
        """Return the number of a placing in this run: times are new in each."""
        if placed_ns not in self._placings:
            self._placings.append(placed_ns)
        return self._placings.index(placed_ns)

    async def held_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Read as one step: by then the bytes may be released."""
        await self._gate.step("")
        content = await super().held_content(repository, digest)
        self._gate.note(("held_content", content))
        return content

    async def held_blobs(self, repository: Repository, after: str, limit: int) -> Any:
        """Read as one step: the export relies on the versions later."""
        await self._gate.step("")
        rows = await super().held_blobs(repository, after, limit)
        self._gate.note(("held_blobs", [(digest, self._number(placed_ns)) for digest, placed_ns in rows]))
        return rows

    async def unreferenced_blobs(self, repository: Repository, after: str, limit: int) -> Any:
        """Read as one step."""
        await self._gate.step("")
        rows = await super().unreferenced_blobs(repository, after, limit)
        self._gate.note(("loose_blobs", rows))
        return rows


class SteppedStorage(MemoryStorage):
    """A storage each change of which is a step."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    async def stat(self, *args: Any) -> int | None:
        """Look as one step: the caller may act on it later."""
        await self._gate.step("")
        size = await super().stat(*args)
        self._gate.note(("stat", size))
        return size

    async def open(self, *args: Any) -> Any:
        """Open as one step: a reader that found nothing may act on it later."""
        await self._gate.step("")
        try:
            content = await super().open(*args)
        except ContentMissingError:
            self._gate.note(("open", None))
            raise
        self._gate.note(("open", content.size))
        return content

    async def matches(self, *args: Any) -> bool:
        """Compare as one step."""
        await self._gate.step("")
        same = await super().matches(*args)
        self._gate.note(("matches", same))
        return same

    async def quarantine(self, *args: Any) -> bool:
        """Quarantine as one step."""
        await self._gate.step("set aside")
        return await super().quarantine(*args)

    async def place(self, *args: Any) -> None:
        """Place as one step."""
        await self._gate.step("place")
        await super().place(*args)

    async def put_all(self, *args: Any) -> None:
        """Put as one step."""
        await self._gate.step("put")
        await super().put_all(*args)

    async def link(self, *args: Any) -> None:
        """Link as one step."""
        await self._gate.step("link")
        await super().link(*args)

    async def remove(self, *args: Any) -> None:
        """Remove as one step."""
        await self._gate.step("remove")
        await super().remove(*args)


def snapshot(catalog: MemoryCatalog, storage: MemoryStorage) -> str:
    """Return a state without times and tokens, which are new in each run."""
    found: list[object] = []
    for name, repository in sorted(catalog._state.repositories.items()):
        blobs = [
            (digest, each.marked_s, each.doom is None, each.held) for digest, each in sorted(repository.blobs.items())
        ]
        claims = sorted(digest for digest, _ in repository.claims)
        tags = [(tag, row.digest) for tag, row in sorted(repository.tags.items())]
        found.append((name, blobs, claims, sorted(repository.manifests), tags))
    return str((found, sorted(storage._content), sorted(storage._staged)))


class World:
    """One run: parts, actors and invariants. Scenarios derive from it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.catalog = SteppedCatalog(self.gate)
        self.storage = SteppedStorage(self.gate)

    async def begin(self) -> Mapping[str, Callable[[], Awaitable[object]]]:
        """Create the initial state and return the actors by name."""
        raise NotImplementedError

    async def check(self) -> None:
        """Fail if the state breaks a law. It may be changed for that: the run is over."""
        raise NotImplementedError


async def explore(make: Callable[[], World], limit: int = 100_000) -> int:
    """Check every state that an order of steps reaches; return their number."""
    seen: set[str] = set()
    frontier: deque[tuple[int, ...]] = deque([()])
    while frontier:
        schedule = frontier.popleft()
        key, choices = await _play(make(), schedule, seen)
        if key in seen:
            continue
        seen.add(key)
        assert len(seen) < limit, "more states than the scenario should have"
        frontier.extend((*schedule, choice) for choice in range(choices))
    return len(seen)


async def _play(world: World, schedule: tuple[int, ...], seen: set[str]) -> tuple[str, int]:
    """Take the steps of a schedule and check a new state; return it with the number of possible next steps."""
    actors = await world.begin()
    gate = world.gate
    gate.open = False
    tasks = [asyncio.create_task(_act(gate, name, act), name=name) for name, act in actors.items()]
    try:
        await gate.settle()
        for choice in schedule:
            gate.waiting.pop(sorted(gate.waiting)[choice]).set_result(None)
            await gate.settle()
        choices = len(gate.waiting)
        ended = all(task.done() for task in tasks)
        assert choices or ended, f"no actor can continue: {gate.history}"
        key = f"{snapshot(world.catalog, world.storage)} {sorted(gate.history.items())} {sorted(gate.waiting)}"
        if key not in seen:
            for task in tasks:
                if task.done():
                    task.result()
            try:
                await world.check()
            except AssertionError as error:
                raise AssertionError(f"{error} after {gate.history}") from error
    finally:
        gate.open = True
        for task in tasks:
            task.cancel()
        for place in gate.waiting.values():  # also those whom no cancellation reaches
            place.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gate.settle()
    return key, choices


async def _act(gate: Gate, name: str, act: Callable[[], Awaitable[object]]) -> None:
    _ACTOR.set(name)
    gate.note(await act())
