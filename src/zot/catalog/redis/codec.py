"""Commands and outcomes as the scripts have them: MessagePack of plain values.

Lua's numbers are doubles, so times in nanoseconds travel as text. Its MessagePack has no bytes: small ones travel as
base64, and the contents of manifests and blobs beside the command.
"""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import msgspec
from msgspec.structs import replace

from zot.catalog.blob_commands import DoomBlob, PutBlob, ReleaseBlobs
from zot.catalog.command import Command
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.manifest_commands import MendManifest, PutManifest

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode_command(command: Command[Any], more: dict[str, Any]) -> tuple[bytes, list[bytes]]:
    """Return a command's fields, some of them replaced or added by `more`, and the contents beside it."""
    contents: list[bytes] = []
    if isinstance(command, PutManifest | PutBlob | MendManifest):
        contents.append(command.content)
        command = replace(command, content=b"")
    elif isinstance(command, ImportLayout):
        contents += [each.content for each in command.manifests]
        command = replace(command, manifests=tuple(replace(each, content=b"") for each in command.manifests))
    fields = msgspec.to_builtins(command)
    if isinstance(command, ReleaseBlobs | DoomBlob | ImportLayout):
        fields = _times_as_text(fields)
    return _encode(fields | more), contents


def encode_fields(fields: dict[str, Any]) -> bytes:
    """Return fields of what is no command of the catalog."""
    return _encode(fields)


def decode_outcome(kind: type[Command[Any]], content: bytes) -> Any:
    """Return the outcome that bytes stand for, of the type that this kind of command has."""
    return msgspec.convert(_decode(content), _outcome_type(kind), strict=False)


def decode_value(content: bytes) -> Any:
    """Return the plain value that bytes stand for."""
    return _decode(content)


@cache
def _outcome_type(kind: type[Command[Any]]) -> Any:
    (base,) = vars(kind)["__orig_bases__"]
    (outcome,) = get_args(base)
    return outcome


def _times_as_text(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {field: _times_as_text(each, field) for field, each in value.items()}
    if isinstance(value, list | tuple):
        return [_times_as_text(each) for each in value]
    return str(value) if name.endswith("_ns") and isinstance(value, int) else value
