"""Let the power fail at every moment of a trace, and check the store after the next start."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from crash.expected import Contents, Expected, Step
from crash.power import Tree, cuts, fingerprint
from crash.second_reader import Holdings, torn_layouts
from crash.stage import Stage
from crash.trace import Acknowledged, Began, Change, Trace

REPEATED_EVERY = 8
"""After each state of this number, the requests without an answer are sent again."""


@dataclass
class Figures:
    """The numbers of explored states, and the losses."""

    cuts: int = 0
    states: int = 0
    """Different contents of the disk that were started from."""
    verdicts: int = 0
    """States together with the answers before them."""
    repeated: int = 0
    """States after which the unanswered requests were sent again."""
    lost: list[str] = field(default_factory=list)


class Explorer:
    """Lets the power fail at every moment of traces, and checks the store after the next start."""

    def __init__(self, stage: Stage, seed: int, afterwards: Step | None = None) -> None:
        """Sample with `seed` where there are too many states; after each start a client does `afterwards`."""
        self.figures = Figures()
        self._stage = stage
        self._afterwards = afterwards
        self._chance = random.Random(seed)
        self._outcomes: dict[bytes, Outcome] = {}
        self._judged: set[tuple[bytes, int]] = set()

    async def explore(self, trace: Trace, limit: int, *, until_lost: bool = False) -> None:
        """Check up to `limit` more states of the disk, spread over the moments of a trace."""
        self._judged.clear()
        moments = list(_moments(trace, self._chance))
        self._chance.shuffle(moments)
        self.figures.cuts += len(moments)
        share = max(1, limit // len(moments))
        limit += self.figures.states
        while moments and self.figures.states < limit:
            left = []
            for moment in moments:
                if self.figures.states >= limit:
                    return
                before = self.figures.states
                # The same states come again and again once most were seen.
                taken = list(islice(moment.states, 4 + 4 * share))
                for tree, lost in taken:
                    await self._check(moment, tree, lost)
                    if self.figures.states >= min(limit, before + share):
                        break
                if len(taken) == 4 + 4 * share and self.figures.states > before:
                    left.append(moment)
                if until_lost and self.figures.lost:
                    return
            moments = left

    async def _check(self, moment: Moment, tree: Tree, lost: list[str]) -> None:
        state = fingerprint(tree)
        if (state, moment.number) in self._judged:
            return
        self._judged.add((state, moment.number))
        self.figures.verdicts += 1
        outcome = self._outcomes.get(state)
        if outcome is None:
            self.figures.states += 1
            outcome = self._outcomes[state] = await self._outcome(tree, moment.expected)
        flaws = [*outcome.flaws, *_unexpected(outcome.contents, moment.expected)]
        if flaws:
            steps = ", ".join(step.name + ("" if done else " (unanswered)") for step, done in moment.expected.steps)
            self.figures.lost.append(
                "\n".join([f"after event {moment.number} of [{steps}]", *lost, "=>", *flaws]),
            )

    async def _outcome(self, tree: Tree, expected: Expected) -> Outcome:
        self._stage.materialise(tree)
        flaws = list(torn_layouts(self._stage.root))
        try:
            await self._stage.recover(self._afterwards)
            holdings = Holdings(self._stage.root)
            if self.figures.states % REPEATED_EVERY == 0 and self._afterwards is None:
                self.figures.repeated += 1
                flaws += await self._repeat(expected)
        except Exception as error:  # noqa: BLE001 (any exception: a start that needs manual recovery is a loss)
            return Outcome([*flaws, f"it does not start: {error!r}"], {})
        return Outcome(flaws + holdings.flaws + holdings.litter, holdings.contents)

    async def _repeat(self, expected: Expected) -> list[str]:
        """Repeat the unanswered requests; their effects must be there then."""
        waiting = expected.waiting
        await self._stage.repeat(waiting)
        holdings = Holdings(self._stage.root)
        for step in waiting:
            expected = expected.acknowledged(step)
        flaws = holdings.flaws + holdings.litter + _unexpected(holdings.contents, expected)
        return [f"after a second try: {flaw}" for flaw in flaws]


class Outcome(NamedTuple):
    """The result of a start on a state of the disk."""

    flaws: Sequence[str]
    contents: Contents


class Moment(NamedTuple):
    """A moment at which the power may fail."""

    number: int
    expected: Expected
    states: Iterator[tuple[Tree, list[str]]]


def _moments(trace: Trace, chance: random.Random) -> Iterator[Moment]:
    """Iterate over the moments after the preparation, or after the kill if there was one."""
    first = trace.killed_at or next(n for n, event in enumerate(trace.events) if isinstance(event, Change))
    expected = Expected()
    for number, cut in cuts(trace):
        event = trace.events[number - 1] if number else None
        match event:
            case Began(step):
                expected = expected.began(step)
            case Acknowledged(step):
                expected = expected.acknowledged(step)
        if number >= first:
            yield Moment(number, expected, cut.states(chance))


def _unexpected(contents: Contents, expected: Expected) -> list[str]:
    """Return the differences to the nearest possible content; empty if the content is possible.

    The file of a deleted manifest that a kill left in an emptied layout is imported as garbage.
    """
    garbage = {
        key._replace(kind="blob") for step, _ in expected.steps for key in step.effects if key.kind == "manifest"
    }
    contents = {key: value for key, value in contents.items() if key not in garbage}
    differences = []
    for possible in expected.possible():
        lacking = possible.items() - contents.items()
        added = contents.items() - possible.items()
        if not lacking and not added:
            return []
        differences.append([*(f"lacks {item}" for item in lacking), *(f"has {item}" for item in added)])
    return min(differences, key=len)
