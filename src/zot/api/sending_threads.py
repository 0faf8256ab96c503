"""Sends much of a file to a client that takes it fast: by a thread that has the socket for a moment.

The event loop then serves other connections, and the poll set, the timers and the hand-over between threads of each
window are saved. A client that takes nothing for a moment is left to the event loop, so that none holds a thread.
"""

from __future__ import annotations

import os
import select
import ssl
from contextlib import AsyncExitStack

from zot.api.http_request import HttpRequest
from zot.api.tls_transport import PIECE_BYTES, TlsTransport, send_piece
from zot.foundation.threads import ThreadPool, ThreadPoolBusyError

BURST_BYTES = 4 * 1024 * 1024
"""The most that a thread sends before it serves the next stream."""

_THREADS = 4
# Waiting for a thread takes longer than sending by the event loop.
_QUEUE_LIMIT = 0
_PATIENCE_MS = 100
_SENDFILE_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024


class SendingThreads:
    """The threads of a process that send; the connections share them."""

    def __init__(self) -> None:
        """Start threads on demand."""
        self._pool = ThreadPool("send", _THREADS, _QUEUE_LIMIT)

    async def send(self, http: HttpRequest, descriptor: int, offset: int, length: int) -> int:
        """Send bytes of a file, from `offset`; return how many were sent.

        Fewer than `length` if the client takes nothing for a moment, all threads are busy, or the file cannot be read:
        the caller continues by other means. Raises ConnectionError.
        """
        transport = http.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client went away")
        try:
            async with AsyncExitStack() as stack:
                if isinstance(transport, TlsTransport):
                    connection = await stack.enter_async_context(transport.lent())
                    return await self._pool.run(_encrypt, connection, descriptor, offset, length)
                if transport.get_write_buffer_size():
                    return 0
                # A descriptor of its own, because the event loop may close the connection.
                copy = os.dup(transport.get_extra_info("socket").fileno())
                stack.callback(os.close, copy)
                return await self._pool.run(_sendfile, copy, descriptor, offset, length)
        except ThreadPoolBusyError:
            return 0

    def close(self) -> None:
        """Wait for the bursts under way, then end the threads."""
        self._pool.close()


def _sendfile(connection: int, descriptor: int, offset: int, length: int) -> int:
    ready, sent = _writability(connection), 0
    while sent < length:
        try:
            taken = os.sendfile(connection, descriptor, offset + sent, min(_SENDFILE_BYTES, length - sent))
        except BlockingIOError:
            if not ready.poll(_PATIENCE_MS):
                break
        except ConnectionError:
            raise
        except OSError:  # the disk fails
            break
        else:
            if not taken:  # the file ends early
                break
            sent += taken
    return sent


def _encrypt(connection: ssl.SSLSocket, descriptor: int, offset: int, length: int) -> int:
    ready, sent = _writability(connection.fileno()), 0
    buffer = memoryview(bytearray(min(_READ_BYTES, length)))
    while sent < length:
        try:
            read = os.preadv(descriptor, [buffer[: length - sent]], offset + sent)
        except OSError:  # the disk fails
            break
        if not read:  # the file ends early
            break
        at = 0
        while at < read:
            taken = send_piece(connection, buffer[at : min(at + PIECE_BYTES, read)])
            if not taken and not ready.poll(_PATIENCE_MS):
                return sent + at
            at += taken
        sent += read
    return sent


def _writability(connection: int) -> select.poll:
    ready = select.poll()
    ready.register(connection, select.POLLOUT)
    return ready
