"""The power fails at every moment of every scenario: acknowledged content is there after the next start."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from crash.conftest import Figure
from crash.explore import Explorer, Figures
from crash.scenarios import SCENARIOS, Scenario
from crash.stage import Stage
from crash.trace import Change

NAMES = [scenario.name for scenario in SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
async def test_nothing_acknowledged_is_lost(
    scenario: Scenario, stage: Stage, seed: int, torture: bool, figure: Figure
) -> None:
    """Changes that were not synced are lost, reordered or torn: the store starts, is complete, and is tidy."""
    explorer = Explorer(stage, seed, scenario.afterwards)
    for _ in range(6 if torture else 1):
        await explorer.explore(await stage.play(scenario), 2000 if torture else 250)
    _count(explorer.figures, figure)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
async def test_nothing_is_lost_after_a_kill_either(
    scenario: Scenario, stage: Stage, seed: int, torture: bool, figure: Figure
) -> None:
    """The server is killed and continues with files that were not synced; then the power fails."""
    changes = [event for event in (await stage.play(scenario)).events if isinstance(event, Change)]
    explorer = Explorer(stage, seed, scenario.afterwards)
    for die_at in _deaths(changes, random.Random(f"{seed} {scenario.name}"), 48 if torture else 8):
        trace = await stage.play(scenario, die_at=die_at)
        figure("processes killed before the power failed", 1)
        await explorer.explore(trace, 100 if torture else 16)
    _count(explorer.figures, figure)


def _deaths(changes: Sequence[Change], chance: random.Random, count: int) -> list[int]:
    """Choose when to die: mostly before a sync, so that the next start finds unsynced files; else anywhere."""
    syncs = [
        number
        for number, change in enumerate(changes)
        if change.verb in {"sync", "sync directory"} and not change.path.startswith(".zot")
    ]
    chosen = chance.sample(syncs, min(len(syncs), count * 3 // 4))
    return chosen + chance.sample(range(len(changes)), count - len(chosen))


def _count(figures: Figures, figure: Figure) -> None:
    figure("states of the disk after a power loss, each started from", figures.states)
    figure("verdicts: states together with what had been answered", figures.verdicts)
    figure("states after which the requests under way were sent again", figures.repeated)
    figure("moments at which the power failed", figures.cuts)
    figure("verdicts with something lost or left", len(figures.lost))
    assert not figures.lost, "\n\n".join(figures.lost[:3])
