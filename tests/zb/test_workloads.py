import re

from zot.zb.workloads import SUITE, selected

NAMES = [
    "Get Catalog",
    "Push Monolith 1MB",
    "Push Monolith 10MB",
    "Push Monolith 100MB",
    "Push Chunk Streamed 1MB",
    "Push Chunk Streamed 10MB",
    "Push Chunk Streamed 100MB",
    "Pull 1MB",
    "Pull 10MB",
    "Pull 100MB",
    "Pull Mixed 20% 1MB, 70% 10MB, 10% 100MB",
    "Push Monolith Mixed 20% 1MB, 70% 10MB, 10% 100MB",
    "Push Chunk Mixed 33% 1MB, 33% 10MB, 33% 100MB",
    "Pull 75% and Push 25% Mixed 1MB",
    "Pull 75% and Push 25% Mixed 10MB",
    "Pull 75% and Push 25% Mixed 100MB",
    "On-demand Sync 100MB",
    "On-demand Sync 1GB",
]


def test_the_workloads_are_zots_in_zots_order() -> None:
    """Dashboards follow a workload by its name."""
    assert [workload.name for workload in SUITE] == NAMES


def test_a_pattern_is_found_anywhere_in_the_name() -> None:
    """As in zot's zb, -t searches; anchors make it match the whole."""
    assert len(selected(re.compile("Catalog|Sync"))) == 3
    assert [each.name for each in selected(re.compile("^(Push Monolith|Pull) 1MB$"))] == [NAMES[1], NAMES[7]]
    assert selected(None) == list(SUITE)
