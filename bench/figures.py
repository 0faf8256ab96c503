"""Figures: what a measurement gives, with the values beside which it is to be read."""

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Sample:
    """The median of several runs, with the lowest and the highest."""

    median: float
    low: float
    high: float
    runs: int = 1

    @classmethod
    def of(cls, values: Iterable[float]) -> "Sample":
        """Return the sample of at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1], len(ordered))


@dataclass(frozen=True)
class Figure:
    """One figure of this registry, beside others taken in the same run."""

    what: str
    unit: str
    ours: Sample
    beside: Mapping[str, Sample] = field(default_factory=dict)
    """What it was measured beside: a peer, the disk, another setting -> its value."""
    more_is_better: bool = True
    aim: str = ""

    def ratio(self, name: str) -> float | None:
        """Return how many times as good as the one beside it this is: above 1 is better, whatever the unit.

        None if one of them is 0.
        """
        ours, other = self.ours.median, self.beside[name].median
        if not ours or not other:
            return None
        return ours / other if self.more_is_better else other / ours


def alternate(subjects: Mapping[str, Subject], runs: int, measure: Callable[[Subject], float]) -> dict[str, Sample]:
    """Measure each subject `runs` times, in turns, after one run of each that does not count.

    In turns, so that a busy moment of the machine hits all of them.
    """
    values: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(runs + 1):
        for name, subject in subjects.items():
            value = measure(subject)
            if number > 0:
                values[name].append(value)
    return {name: Sample.of(measured) for name, measured in values.items()}
