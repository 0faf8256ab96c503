"""Changes to upload sessions."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from zot.catalog.command import Command
from zot.catalog.rows import UploadRow
from zot.oci.digest import Digest


class BeginOutcome(StrEnum):
    """What came of beginning an upload."""

    BEGUN = "begun"
    TOO_MANY = "too many"


class CreateUploadRow(Command[BeginOutcome], frozen=True, kw_only=True, tag=True):
    """Open an upload session at offset 0, unless its owner has `limit` open ones in the repository.

    The owner is a client in the form that the caller chooses: one client's sessions count against no other's. BEGUN
    creates the repository. A session that is there already is left as it is: BEGUN.
    """

    durable: ClassVar[bool] = False
    session: str
    principal: str = ""
    algorithm: str = "sha256"
    owner: str = ""
    limit: int = 1000


class LeaseUpload(Command[UploadRow | None], frozen=True, kw_only=True, tag=True):
    """Take a principal's session for one request: a new epoch fences the request that has it.

    None: the repository has no such session, or it is another principal's: its id alone is no authority. A finished
    session is returned as it is, its epoch unchanged.
    """

    durable: ClassVar[bool] = False
    session: str
    principal: str


class AdvanceUpload(Command[bool], frozen=True, kw_only=True, tag=True):
    """Record that the first `offset` bytes are in the staged file. False: fenced off, finished, or gone.

    `prefix` is the digest of those bytes by `algorithm` if it is known; it counts within this `boot` only.
    """

    durable: ClassVar[bool] = False
    session: str
    epoch: int
    offset: int
    algorithm: str = "sha256"
    prefix: Digest | None = None
    boot: str = ""


class CancelUploadRow(Command[bool], frozen=True, kw_only=True, tag=True):
    """Remove a session's row; its staged bytes are removed after. False: there was none in this repository.

    With `if_epoch`, only at that epoch, so that a session in use is not taken away by the collection of stale ones.
    With `unfinished`, only if it is not finished: its row answers a repeated finish.
    """

    durable: ClassVar[bool] = False
    remembered: ClassVar[bool] = True
    session: str
    if_epoch: int | None = None
    unfinished: bool = False
