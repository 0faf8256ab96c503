"""TLS connections: OpenSSL on the socket itself, as a transport of the event loop.

The TLS of asyncio and of uvloop lets OpenSSL write into memory, copies that, and passes the copy to a transport of its
own. Here OpenSSL writes each record to the socket, and a thread can borrow the socket to encrypt a large body while the
event loop serves other connections.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

PIECE_BYTES = 32 * 1024
"""What OpenSSL gets at once. If the socket does not take it, the next call has to be for the same bytes."""

_HIGH_WATER_BYTES = 64 * 1024
_LOW_WATER_BYTES = 16 * 1024


async def handshake(connection: ssl.SSLSocket, limit_s: float) -> None:
    """Negotiate TLS on a socket that does not block. Raises TimeoutError; OSError if it fails or the client is gone."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limit_s):
        while True:
            try:
                connection.do_handshake()
            except ssl.SSLWantReadError:
                await _event(loop.add_reader, loop.remove_reader, connection)
            except ssl.SSLWantWriteError:
                await _event(loop.add_writer, loop.remove_writer, connection)
            else:
                return


async def _event(
    add: Callable[..., None], remove: Callable[[ssl.SSLSocket], object], connection: ssl.SSLSocket
) -> None:
    happened = asyncio.Event()
    add(connection, happened.set)
    try:
        await happened.wait()
    finally:
        remove(connection)


def send_piece(connection: ssl.SSLSocket, data: memoryview | bytes) -> int:
    """Send at most PIECE_BYTES; return how many bytes that is, 0 if the socket takes no more: repeat with the same.

    Raises ConnectionError.
    """
    try:
        return connection.send(data)
    except ssl.SSLWantWriteError:
        return 0
    except ConnectionError:
        raise
    except OSError as error:
        raise ConnectionResetError(f"the connection failed: {error}") from error


class TlsTransport(asyncio.Transport):
    """A connection whose handshake is done, for a protocol that reads into its own buffer."""

    def __init__(self, connection: ssl.SSLSocket, protocol: asyncio.BufferedProtocol) -> None:
        """Own the socket, which must not block, and call the protocol in the running event loop."""
        super().__init__(
            {
                "socket": connection,
                "ssl_object": connection,
                "sslcontext": connection.context,
                "peername": _name(connection.getpeername),
                "sockname": _name(connection.getsockname),
            }
        )
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._protocol = protocol
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._writing_paused = False
        self._reading = False
        self._reading_wanted = True
        self._ended = False
        """Whether the client has ended its side."""
        self._closing = False
        self._lent = False
        self._aborted = False
        self._lost: Exception | None = None
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None
        protocol.connection_made(self)
        self._follow_reading()

    # --- reading ---

    def is_reading(self) -> bool:
        """Return whether the protocol gets what the client sends."""
        return self._reading_wanted and not self._closing

    def pause_reading(self) -> None:
        """Leave what the client sends in the kernel. Idempotent."""
        self._reading_wanted = False
        self._follow_reading()

    def resume_reading(self) -> None:
        """Read again. Idempotent."""
        self._reading_wanted = True
        self._follow_reading()

    def _follow_reading(self) -> None:
        """Read exactly if that is wanted, possible and the socket is not lent."""
        reads = self._reading_wanted and not (self._closing or self._ended or self._lent)
        if reads == self._reading:
            return
        self._reading = reads
        if not reads:
            self._loop.remove_reader(self._connection)
            return
        self._loop.add_reader(self._connection, self._read)
        if self._connection.pending():
            # It is decrypted already, so the kernel reports nothing.
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Pass on what can be read now. Bytes that are decrypted already are not left behind."""
        more = True
        while more and self._reading:
            buffer = memoryview(self._protocol.get_buffer(-1))
            filled, ended = 0, False
            try:
                # OpenSSL returns one record at a time.
                while filled < len(buffer) and not ended:
                    length = self._connection.recv_into(buffer[filled:])
                    filled, ended = filled + length, not length
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except OSError as error:
                self._lose(error)
                return
            more = self._connection.pending() > 0
            if filled:
                try:
                    self._protocol.buffer_updated(filled)
                except Exception as error:  # noqa: BLE001 (as the loop's own transports)
                    self._fail(error, "buffer_updated failed")
                    return
            if ended:
                self._end()
                return

    def _end(self) -> None:
        """Take the end of the client's stream: close, as TLS has no half-closed connections."""
        self._ended = True
        self._follow_reading()
        self._protocol.eof_received()
        self.close()

    # --- writing ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send the data, or keep it until the socket takes it."""
        if self._closing or not len(data):
            return
        idle = not self._waiting
        self._waiting.append(memoryview(bytes(data)))
        self._waiting_bytes += len(data)
        if idle and not self._lent:
            self._flush()
        if self._waiting_bytes > _HIGH_WATER_BYTES and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait for the socket."""
        return self._waiting_bytes

    def can_write_eof(self) -> bool:
        """Return False: TLS has no half-closed connections."""
        return False

    def _flush(self) -> None:
        """Send what waits, as far as the socket takes it."""
        self._loop.remove_writer(self._connection)
        while self._waiting:
            data = self._waiting[0]
            try:
                sent = send_piece(self._connection, data[:PIECE_BYTES])
            except OSError as error:
                self._lose(error)
                return
            if not sent:
                self._loop.add_writer(self._connection, self._flush)
                break
            self._waiting_bytes -= sent
            if sent == len(data):
                self._waiting.popleft()
            else:
                self._waiting[0] = data[sent:]
        if self._writing_paused and self._waiting_bytes <= _LOW_WATER_BYTES:
            self._writing_paused = False
            self._protocol.resume_writing()
        if not self._waiting:
            self._report_empty()
            if self._closing:
                self._disconnect()

    def _report_empty(self) -> None:
        emptied, self._emptied = self._emptied, None
        if emptied is not None and not emptied.done():
            emptied.set_result(None)

    # --- lending the socket ---

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[ssl.SSLSocket]:
        """Give the socket to one thread for the block, once nothing waits to be sent; the loop leaves it alone.

        Raises ConnectionResetError if the connection is closed.
        """
        if self._waiting:
            self._emptied = self._loop.create_future()
            await self._emptied
        if self.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._lent = True
        self._follow_reading()
        try:
            yield self._connection
        finally:
            self._lent = False
            if self._closing:
                self._disconnect()
            else:
                if self._waiting:
                    self._flush()
                self._follow_reading()

    # --- closing ---

    def is_closing(self) -> bool:
        """Return whether it is closed, or will be once the rest is sent."""
        return self._closing

    def close(self) -> None:
        """Send what waits, then close."""
        if self._closing:
            return
        self._closing = True
        self._follow_reading()
        if not self._waiting and not self._lent:
            self._disconnect()

    def abort(self) -> None:
        """Close at once."""
        self._drop(None)

    def _lose(self, error: OSError) -> None:
        """Close because the socket failed, or the client broke the protocol of TLS."""
        self._drop(error if isinstance(error, ConnectionError) else ConnectionResetError(str(error)))

    def _fail(self, error: Exception, message: str) -> None:
        """Close because the protocol failed."""
        self._loop.call_exception_handler(
            {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
        )
        self._drop(error)

    def _drop(self, error: Exception | None) -> None:
        self._lost, self._aborted = self._lost or error, True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._closing = True
        if not self._lent:
            self._disconnect()

    def _disconnect(self) -> None:
        """Close the socket, and tell the protocol in the next turn of the loop. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._follow_reading()
        self._loop.remove_writer(self._connection)
        self._report_empty()
        self._loop.call_soon(self._close_connection)

    def _close_connection(self) -> None:
        if not self._aborted:
            with suppress(OSError):  # the client has not ended its side, or is gone
                # Sends the end of the stream; the client's is not waited for.
                self._connection.unwrap()
        self._connection.close()
        self._protocol.connection_lost(self._lost)


def _name(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except OSError:  # the client is gone
        return None
