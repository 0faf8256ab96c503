"""All changes to what exists: their union, by which bytes become a command again."""

from __future__ import annotations

from zot.catalog.blob_commands import (
    CheckQuota,
    ClaimBlob,
    DoomBlob,
    DropClaim,
    ForgetBlob,
    MarkUnreferenced,
    PublishBlob,
    TouchBlob,
)
from zot.catalog.change_log import TrimChanges
from zot.catalog.layout_commands import BeginExport, FinishExport, ImportLayout, QueueExport
from zot.catalog.manifest_commands import (
    DeleteTag,
    MendManifest,
    PutManifest,
    RemoveManifest,
    RemoveRepository,
    RestoreTag,
    TouchManifest,
)
from zot.catalog.upload_commands import AdvanceUpload, CancelUploadRow, CreateUploadRow, LeaseUpload

AnyCommand = (
    ClaimBlob
    | PublishBlob
    | CheckQuota
    | DropClaim
    | TouchBlob
    | DoomBlob
    | ForgetBlob
    | MarkUnreferenced
    | PutManifest
    | RemoveManifest
    | TouchManifest
    | MendManifest
    | DeleteTag
    | RestoreTag
    | RemoveRepository
    | CreateUploadRow
    | LeaseUpload
    | AdvanceUpload
    | CancelUploadRow
    | ImportLayout
    | BeginExport
    | FinishExport
    | QueueExport
    | TrimChanges
)
