"""Commands as JSON, with the bytes of a manifest or blob beside it, and outcomes from JSON."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec.structs import replace

from zot.catalog.blob_commands import CheckQuota, PublishBlob, PutBlob
from zot.catalog.command import Command
from zot.catalog.manifest_commands import MendManifest, PutManifest
from zot.catalog.quotas import RepositoryQuota
from zot.config.globs import translate

# The server's text has no such character.
_NUL = b"\\u0000"
_REPLACEMENT = "\ufffd"


def function_of(kind: type[Command[Any]]) -> str:
    """Return the name of the function that carries out this kind of command: `PutManifest`: `put_manifest`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def encode_command(command: Command[Any]) -> tuple[str, bytes | None]:
    """Return a command as JSON, without the bytes that it carries, and these."""
    content = None
    if isinstance(command, PutManifest | PutBlob | MendManifest):
        content = command.content
        command = replace(command, content=b"")
    fields: Any = command
    if isinstance(command, PutManifest | PutBlob | PublishBlob | CheckQuota) and command.quotas:
        fields = msgspec.to_builtins(command) | {"quotas": [_quota(each) for each in command.quotas]}
    encoded = msgspec.json.encode(fields)
    if _NUL in encoded:
        encoded = msgspec.json.encode(_without_nul(msgspec.json.decode(encoded)))
    return encoded.decode(), content


def decode_outcome(kind: type[Command[Any]], content: str) -> Any:
    """Return the outcome that JSON stands for, of the type that this kind of command has."""
    return _outcomes(kind).decode(content)


@cache
def _outcomes(kind: type[Command[Any]]) -> msgspec.json.Decoder[Any]:
    (base,) = vars(kind)["__orig_bases__"]
    (outcome,) = get_args(base)
    return msgspec.json.Decoder(outcome)


def _quota(quota: RepositoryQuota) -> dict[str, Any]:
    """Return a quota with one regular expression for all of its globs."""
    terms = [".*" if each == "**" else translate(each).removeprefix("(?s)") for each in quota.patterns]
    return {
        "limit_bytes": quota.limit_bytes,
        "patterns": list(quota.patterns),
        "expression": f"^(?:{'|'.join(terms)})$",
    }


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", _REPLACEMENT)
    if isinstance(value, list):
        return [_without_nul(each) for each in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(each) for name, each in value.items()}
    return value
