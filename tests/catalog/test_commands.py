"""There is one list of commands, and a handler for each in every driver."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, get_args

import pytest

from zot.catalog.command import Command, new_id
from zot.catalog.commands import AnyCommand, handlers_in
from zot.catalog.memory import blobs, driver
from zot.catalog.sqlite import writer


def leaves(kind: type[Command[Any]]) -> set[type[Command[Any]]]:
    """Return the commands of the product below a class."""
    found = {each for child in kind.__subclasses__() for each in leaves(child)}
    return found or ({kind} if kind.__module__.startswith("zot.catalog.") else set())


def test_every_command_is_in_the_list() -> None:
    """A command that is defined can be sent to the writer."""
    assert set(get_args(AnyCommand)) == leaves(Command)


@pytest.mark.parametrize("module", [driver, writer])
def test_a_driver_carries_out_every_command(module: ModuleType) -> None:
    """No command is met for the first time by a client."""
    assert set(module._HANDLERS) == set(get_args(AnyCommand))


def test_a_missing_handler_is_noticed_when_the_driver_is_imported() -> None:
    """It is named, with where it was looked for."""
    with pytest.raises(AssertionError, match=r"no handler of .*PutManifest.* in zot\.catalog\.memory\.blobs"):
        handlers_in(blobs)


def test_ids_differ_in_a_process_that_was_forked() -> None:
    """Parent and child go on with ids that no other process has."""
    new_id()
    receiving, sending = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(sending, ",".join(new_id() for _ in range(100)).encode())
        os._exit(0)
    os.close(sending)
    mine = [new_id() for _ in range(100)]
    with os.fdopen(receiving) as pipe:
        ids = [*mine, *pipe.read().split(",")]
    assert os.waitpid(pid, 0)[1] == 0
    assert len(set(ids)) == 200
    assert {len(each) for each in ids} == {32}
