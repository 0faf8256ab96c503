"""All changes to what exists: their union, by which bytes become a command again."""

from __future__ import annotations

from zot.catalog.blob_commands import (
    CheckRoom,
    ClaimBlob,
    DoomBlob,
    DropClaim,
    ForgetBlob,
    PublishBlob,
    StampGarbage,
    TouchBlob,
)
from zot.catalog.layout_commands import Adopt, Exported, IntendExport, MarkDirty
from zot.catalog.manifest_commands import (
    DeleteManifest,
    DeleteTag,
    MendManifest,
    PutManifest,
    RemoveRepository,
    RestoreTag,
    TouchManifest,
)
from zot.catalog.upload_commands import AdvanceUpload, BeginUpload, CancelUpload, LeaseUpload

AnyCommand = (
    ClaimBlob
    | PublishBlob
    | CheckRoom
    | DropClaim
    | TouchBlob
    | DoomBlob
    | ForgetBlob
    | StampGarbage
    | PutManifest
    | DeleteManifest
    | TouchManifest
    | MendManifest
    | DeleteTag
    | RestoreTag
    | RemoveRepository
    | BeginUpload
    | LeaseUpload
    | AdvanceUpload
    | CancelUpload
    | Adopt
    | IntendExport
    | Exported
    | MarkDirty
)
