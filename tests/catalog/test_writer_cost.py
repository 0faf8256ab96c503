"""What commands cost, counted in steps of SQLite's machine: the same numbers on every machine, whatever its load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest

from contract.catalog.examples import APP, V1, digest, put
from zot.catalog.command import Command
from zot.catalog.manifest_commands import DeleteTag, RemoveManifest, RestoreTag, TagMove
from zot.catalog.sqlite.writer import Writer
from zot.oci.names import parse_tag

Count = Callable[[Command[Any]], int]

PUSHES = 5000

# The writer's time goes on by this at every look: all that is pushed here is of one minute, however slow the machine
# is. Forgetting the outcomes of an earlier minute would be counted, too.
TICK_NS = 10**6


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[tuple[Writer, Count]]:
    """A writer, and what carries a command out and returns how many steps its batch took."""
    steps = 0

    def trace(event: dict[str, Any]) -> None:
        nonlocal steps
        steps += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

    def watch(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, trace)

    apsw.connection_hooks.append(watch)
    try:
        writer = Writer(tmp_path, "boot", count(1_700_000_000 * 10**9, TICK_NS).__next__, syncs=False)
    finally:
        apsw.connection_hooks.remove(watch)

    def steps_of(command: Command[Any]) -> int:
        nonlocal steps
        steps = 0
        (outcome,) = writer.run([command])
        assert not isinstance(outcome, Exception)
        return steps

    yield writer, steps_of
    writer.close()


def commands(number: int) -> list[Command[Any]]:
    """Return commands of the kinds whose outcomes are remembered, on a new manifest and a new tag."""
    name = f"image {number}"
    return [
        put(name, tags=(parse_tag(f"tag-{number}"),)),
        put("shared", tags=(parse_tag(f"shared-{number}"),)),
        RestoreTag(repository=APP, digest=digest(name), move=TagMove(V1)),
        DeleteTag(repository=APP, tag=V1),
        RemoveManifest(repository=APP, digest=digest(name)),
    ]


def test_a_command_costs_the_same_after_thousands(counted: tuple[Writer, Count]) -> None:
    """What was pushed in the last minute makes no later command dearer."""
    writer, steps_of = counted
    first = [steps_of(command) for number in range(10) for command in commands(number)]
    done = 0
    # Half of the tags are on one manifest.
    pushes = [
        put(f"push {number}" if number % 2 else "shared", tags=(parse_tag(f"push-{number}"),))
        for number in range(PUSHES)
    ]
    while done < PUSHES:
        done += len(writer.run(pushes[done:]))
    last = [steps_of(command) for number in range(10, 20) for command in commands(number)]
    assert max(last) < 1.5 * max(first)
