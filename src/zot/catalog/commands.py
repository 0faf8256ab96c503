"""The one list of all commands: bytes become a command by it, and each driver has a handler for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any, get_args

from zot.catalog.blob_commands import (
    CheckQuota,
    ClaimBlob,
    DoomBlob,
    DropClaim,
    ForgetBlob,
    MarkUnreferenced,
    PublishBlob,
    PutBlob,
    ReleaseBlobs,
    TouchBlob,
)
from zot.catalog.change_log import TrimChanges
from zot.catalog.command import Command
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
from zot.catalog.owner_commands import (
    AcquireLease,
    EndExpiredOwners,
    EndOwner,
    ReleaseLease,
    RenewOwner,
    TakePendingDelete,
)
from zot.catalog.upload_commands import AdvanceUpload, CancelUploadRow, CreateUploadRow, LeaseUpload

AnyCommand = (
    ClaimBlob
    | PublishBlob
    | PutBlob
    | ReleaseBlobs
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
    | RenewOwner
    | EndOwner
    | EndExpiredOwners
    | AcquireLease
    | ReleaseLease
    | TakePendingDelete
)


def handlers_in(*places: ModuleType | type) -> Mapping[type[Command[Any]], Callable[[Any, Any], Any]]:
    """Return the handler of each command in a driver's modules and classes: the function that takes the command.

    A handler has two parameters: what it works on, and the command. That every command has one is a law of a driver,
    checked here when the driver is imported.
    """
    commands = {each.__name__: each for each in get_args(AnyCommand)}
    handlers: dict[type[Command[Any]], Callable[[Any, Any], Any]] = {}
    for place in places:
        module = getattr(place, "__module__", place.__name__)
        for name, function in vars(place).items():
            if not isinstance(function, FunctionType) or function.__module__ != module or name.startswith("_"):
                continue
            parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
            command = commands.get(function.__annotations__.get(parameters[1])) if len(parameters) == 2 else None
            if command is not None:
                assert command not in handlers, f"{command.__name__} has two handlers in {module}"
                handlers[command] = function
    missing = [name for name, command in commands.items() if command not in handlers]
    assert not missing, f"no handler of {', '.join(missing)} in {', '.join(each.__name__ for each in places)}"
    return handlers
