"""Changes to upload sessions."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from zot.catalog.blob_commands import ClaimOutcome
from zot.catalog.command import OwnedCommand, RepositoryCommand
from zot.catalog.rows import UploadRow
from zot.oci.digest import Digest


class BeginOutcome(StrEnum):
    """The outcome of CreateUploadRow."""

    BEGUN = "begun"
    TOO_MANY = "too many"


class CreateUploadRow(RepositoryCommand[BeginOutcome], frozen=True, kw_only=True, tag=True):
    """Open an upload session at offset 0, unless its client has `limit` open ones in the repository.

    The caller chooses how it names clients: one client's sessions count against no other's. BEGUN creates the
    repository. A session that is there already is left as it is: BEGUN.
    """

    durable: ClassVar[bool] = False
    session: str
    principal: str = ""
    algorithm: str = "sha256"
    client: str = ""
    limit: int = 1000


class Claim(msgspec.Struct, frozen=True):
    """A claim of a digest under a token, as `ClaimBlob` makes it, in the commit of another command."""

    digest: Digest
    token: str


class LeasedUpload(msgspec.Struct, frozen=True):
    """The outcome of LeaseUpload: the session, and what came of the claim, if one was asked for."""

    row: UploadRow
    claim: ClaimOutcome | None = None


class LeaseUpload(OwnedCommand[LeasedUpload | None], frozen=True, kw_only=True, tag=True):
    """Take a principal's session for one request: a new epoch fences the request that has it.

    With `if_epoch` and `if_offset` only while the session has these. With `claim` that digest is claimed as well. None:
    the repository has no such session, or it is another principal's: its id alone is no authority. A finished session
    is returned as it is, its epoch unchanged, and nothing is claimed.
    """

    durable: ClassVar[bool] = False
    remembered: ClassVar[bool] = True
    session: str
    principal: str
    if_epoch: int | None = None
    if_offset: int | None = None
    claim: Claim | None = None


class AdvanceUpload(OwnedCommand[bool | ClaimOutcome], frozen=True, kw_only=True, tag=True):
    """Record that the first `offset` bytes are staged. False: fenced, finished, or gone.

    `prefix` is the digest of those bytes by `algorithm` if it is known, recorded by `owner`; `driver_state` is the
    storage's. With `claim` that digest is claimed in the same commit, and the outcome is that of the claim: the bytes
    are recorded with each of these.
    """

    durable: ClassVar[bool] = False
    session: str
    epoch: int
    offset: int
    algorithm: str = "sha256"
    prefix: Digest | None = None
    driver_state: bytes = b""
    claim: Claim | None = None


class CancelUploadRow(RepositoryCommand[bool], frozen=True, kw_only=True, tag=True):
    """Remove a session's row, before its staged bytes. False: the repository has no such session.

    With `if_epoch`, only at that epoch, so that the collection of stale sessions removes none in use. With
    `unfinished`, only if it is not finished: the row of a finished one answers a repeated finish.
    """

    durable: ClassVar[bool] = False
    remembered: ClassVar[bool] = True
    session: str
    if_epoch: int | None = None
    unfinished: bool = False
