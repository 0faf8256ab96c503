"""Answers a client that speaks plain HTTP to a TLS port, as Go does, instead of cutting it off."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

_SENTENCE = b"Client sent an HTTP request to an HTTPS server.\n"
_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b"%b" % (len(_SENTENCE), _SENTENCE)
)
_LINGER_S = 1.0
_LINGER_BYTES = 64 * 1024


async def speaks_plain_http(connection: socket.socket, limit_s: float) -> bool:
    """Wait for a client's first byte, which stays to be read, and tell whether it begins a request of HTTP.

    A method of HTTP begins with a capital letter, a record of TLS with a control character. Raises TimeoutError,
    OSError if the client is gone.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        async with asyncio.timeout(limit_s):
            await readable.wait()
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK).isupper()


async def answer_plain_http(connection: socket.socket) -> None:
    """Answer 400 with a sentence, and close."""
    loop = asyncio.get_running_loop()
    with connection, suppress(OSError, TimeoutError):
        await loop.sock_sendall(connection, _ANSWER)
        connection.shutdown(socket.SHUT_WR)
        # Closed with a request unread, the kernel would reset the connection, and the answer could be lost.
        async with asyncio.timeout(_LINGER_S):
            left_bytes = _LINGER_BYTES
            while left_bytes > 0 and (piece := await loop.sock_recv(connection, left_bytes)):
                left_bytes -= len(piece)
