"""Every change to what exists, as a value.

A command touches one repository (`BeginUpload` creates it), is done whole or not at all, and states in its outcome
what happened; conditions are part of it, so that no race can come between looking and changing. `durable` commands
survive power loss once answered; the others survive the death of every process, but may be lost with the machine.

Commands carry an id. One whose outcome is unknown (a timeout, a writer that died) is given again with the same id:
either it does no harm to do it again, or the catalog remembers the outcome (`remembered`) for `REMEMBERED_S` and
answers that. Whatever moves a tag is remembered, so that no repetition undoes a change that came between.
"""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar
from uuid import uuid4

import msgspec

from zot.oci.names import Repository

Outcome_co = TypeVar("Outcome_co", covariant=True)

REMEMBERED_S = 60
"""How long outcomes are remembered: longer than anybody repeats a command."""


def new_id() -> str:
    """Return an id that no other command, claim or session has."""
    return uuid4().hex


def removal_token(boot: str) -> str:
    """Return a new token of a removal, which says in which start of the server it was decided.

    Of any other start nobody lives who might unlink late, so that its removals can be finished.
    """
    return f"{boot}-{new_id()}"


def boot_of(token: str) -> str:
    """Return the start of the server in which a removal was decided."""
    return token.partition("-")[0]


class Command(msgspec.Struct, Generic[Outcome_co], frozen=True, kw_only=True, tag=True):
    """A change. The type parameter is the type of its outcome."""

    durable: ClassVar[bool] = True
    remembered: ClassVar[bool] = False
    id: str = msgspec.field(default_factory=new_id)
    repository: Repository
