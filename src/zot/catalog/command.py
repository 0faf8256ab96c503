"""Every change to what exists, as a value.

A command touches at most one repository, is carried out whole or not at all, and states in its outcome what happened.
Its conditions are part of it, so that no race can come between looking and changing. `durable` commands survive power
loss once they are answered; the others survive the death of every process, but may be lost with the machine.

Commands carry an id. A caller that does not learn the outcome (a timeout, a writer that died) gives the command again
with the same id: either it is idempotent, or the catalog has recorded the outcome (`remembered`) for `REMEMBERED_S` and
returns that. Each command that moves a tag is `remembered`, so that no repetition undoes a change that came between.

An `OwnedCommand` makes something that belongs to its owner: a claim, a pending delete, a recorded digest, an export.
An owner is one start of a server, and holds a lease that the catalog keeps (`zot.catalog.owner_commands`). Each driver
refuses the owned commands of an owner whose lease has ended (LeaseEndedError).
"""

from __future__ import annotations

import os
import secrets
from enum import StrEnum
from itertools import count
from typing import ClassVar, Generic, TypeVar

import msgspec

from zot.oci.names import Repository

Outcome_co = TypeVar("Outcome_co", covariant=True)

REMEMBERED_S = 60
"""How long outcomes are kept: longer than any caller repeats a command."""


class _Ids:
    """Ids of 32 hexadecimal digits: random ones of the process, and a number."""

    def __init__(self) -> None:
        self.begin()
        # A fork would go on with the same numbers.
        os.register_at_fork(after_in_child=self.begin)

    def begin(self) -> None:
        self._process = secrets.token_hex(12)
        self._numbers = count()

    def new(self) -> str:
        return f"{self._process}{next(self._numbers):08x}"


new_id = _Ids().new
"""Return an id that no other command, claim, pending delete or owner has, in any process. It is no secret."""


class ChangeSource(StrEnum):
    """What causes a change, for the change log."""

    CLIENT = "client"
    """A request of a client."""
    COLLECTION = "collection"
    """Garbage collection: nothing kept it."""
    RETENTION = "retention"
    """The retention policy of the configuration."""
    IMPORT = "import"
    """A layout that the catalog did not have."""
    MERGE = "merge"
    """Another program changed the layout of a repository that the catalog has."""
    SYNC = "sync"
    """Mirroring from another registry."""
    OPERATOR = "operator"
    """A command of `zot`."""
    SCRUB = "scrub"
    """The verification of stored bytes."""


class Command(msgspec.Struct, Generic[Outcome_co], frozen=True, kw_only=True, tag=True):
    """A change of what exists. The type parameter is the type of its outcome."""

    durable: ClassVar[bool] = True
    remembered: ClassVar[bool] = False
    id: str = msgspec.field(default_factory=new_id)


class RepositoryCommand(Command[Outcome_co], Generic[Outcome_co], frozen=True, kw_only=True, tag=True):
    """A change of one repository."""

    repository: Repository
    by: str = ""
    """Who makes the change, for the change log: the name of a principal or of a part of the server."""
    source: ChangeSource = ChangeSource.CLIENT


class OwnedCommand(RepositoryCommand[Outcome_co], Generic[Outcome_co], frozen=True, kw_only=True, tag=True):
    """A change of one repository that an owner makes. Raises LeaseEndedError once the owner's lease has ended."""

    owner: str
