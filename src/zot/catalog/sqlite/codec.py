"""Commands and outcomes as bytes (MessagePack): on the socket, and where outcomes are remembered."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import msgspec

from zot.catalog.command import Command
from zot.catalog.commands import AnyCommand

encode = msgspec.msgpack.Encoder().encode
"""Return a command or an outcome as bytes."""

decode_command = msgspec.msgpack.Decoder(AnyCommand).decode
"""Return the command that bytes stand for. Raises msgspec.DecodeError, msgspec.ValidationError."""


def decode_outcome(kind: type[Command[Any]], content: bytes | msgspec.Raw) -> Any:
    """Return the outcome that bytes stand for, of the type that this kind of command has."""
    return _outcomes(kind).decode(content)


@cache
def _outcomes(kind: type[Command[Any]]) -> msgspec.msgpack.Decoder[Any]:
    (base,) = vars(kind)["__orig_bases__"]
    (outcome,) = get_args(base)
    return msgspec.msgpack.Decoder(outcome)
