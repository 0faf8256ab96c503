"""Marks that the processes of a server share."""

from __future__ import annotations

import os

from zot.foundation.shared_marks import SharedMarks


def test_a_mark_is_seen_by_processes_that_were_forked() -> None:
    """In both directions: what the parent or a child marks is marked in all of them."""
    marks = SharedMarks()
    marks.add("of the parent")
    pid = os.fork()
    if pid == 0:
        seen = "of the parent" in marks and "of the child" not in marks
        marks.add("of the child")
        os._exit(0 if seen else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert "of the child" in marks


def test_a_mark_may_be_lost_and_none_appears() -> None:
    """Marks take places from each other, and what was not marked is not found in any of them."""
    marks = SharedMarks()
    given = [f"repository/{number}" for number in range(100_000)]
    for each in given:
        marks.add(each)
    assert 0 < sum(each in marks for each in given) < len(given)
    assert not any(f"other/{number}" in marks for number in range(10_000))
    assert "" not in marks
