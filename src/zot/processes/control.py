"""The control socket, by which commands of `zot` ask the server that runs on a store.

Only its owner can open it, and a peer has to be the same user, or root. A request is one line of JSON, and so is each
part of the response: `{"row": ...}`, `{"said": ...}`, `{"note": ...}`, and at the end `{"end": true}` or
`{"error": ...}`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import msgspec

from zot.admin import requests
from zot.admin.requests import AdminError, AdminRequest, Noted, OperationProgress
from zot.config.state_directory import StateDirectory, socket_address

_log = logging.getLogger("zot.control")

_LINE_LIMIT_BYTES = 64 << 20
_REQUEST_LIMIT_BYTES = 64 << 10

Answer = Callable[[AdminRequest[Any]], AsyncGenerator[Any, None]]


class _Line(msgspec.Struct, omit_defaults=True):
    row: msgspec.Raw = msgspec.Raw(b"null")
    said: str = ""
    note: str = ""
    error: str = ""
    end: bool = False


@asynccontextmanager
async def control_socket(state: StateDirectory, answer: Answer) -> AsyncIterator[None]:
    """Answer on the control socket of a catalog's directory during the block.

    The lock on the directory's root keeps a second server from replacing the socket.
    """
    path = state.control_socket
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(socket_address(made)))
    finally:
        os.umask(mask)
    listener.listen()
    made.replace(path)  # a client that finds it can connect

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _converse(reader, writer, answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the command was broken off
        finally:
            writer.close()

    server = await asyncio.start_unix_server(connected, sock=listener, limit=_REQUEST_LIMIT_BYTES)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    if not _is_allowed(writer.get_extra_info("socket")):
        return
    try:
        ask = requests.decode(await reader.readline())
    except (ValueError, RecursionError) as error:
        await _send(writer, _Line(error=f"not a request: {error}"))
        return
    _log.info("control: %s", type(ask).__name__)
    try:
        async with aclosing(answer(ask)) as rows:
            async for row in rows:
                await _send(writer, _line(row))
    except AdminError as error:
        await _send(writer, _Line(error=str(error)))
        return
    await _send(writer, _Line(end=True))


def _line(row: object) -> _Line:
    match row:
        case OperationProgress():
            return _Line(said=row.text)
        case Noted():
            return _Line(note=row.text)
        case _:
            return _Line(row=msgspec.Raw(requests.encode(row)))


def _is_allowed(peer: socket.socket) -> bool:
    """Tell whether the peer is our user, or root; where the system does not tell, the file's mode protects."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return user in (0, os.getuid())


async def _send(writer: asyncio.StreamWriter, line: _Line) -> None:
    writer.write(msgspec.json.encode(line) + b"\n")
    await writer.drain()


async def ask_server(state: StateDirectory, ask: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
    """Ask the server that runs on a catalog's directory; yield rows, `OperationProgress` and `Noted`.

    Raises ConnectionError if no server runs, AdminError.
    """
    try:
        address = str(socket_address(state.control_socket))
        reader, writer = await asyncio.open_unix_connection(address, limit=_LINE_LIMIT_BYTES)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ConnectionError(f"no server runs on {state.catalog}") from error
    try:
        writer.write(requests.encode(ask) + b"\n")
        while content := await reader.readline():
            line = msgspec.json.decode(content, type=_Line)
            if line.error:
                raise AdminError(line.error)
            if line.end:
                return
            if line.said:
                yield OperationProgress(line.said)
            elif line.note:
                yield Noted(line.note)
            else:
                yield requests.decode_row(type(ask), line.row)
        raise AdminError("the server ended before it had answered")
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
