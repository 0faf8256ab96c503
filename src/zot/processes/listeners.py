"""The sockets that clients connect to.

One socket a worker, all on one port (SO_REUSEPORT), made and kept by the supervisor: the kernel spreads connections,
and a worker that is replaced inherits the queue of the one before it.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

BACKLOG = 1024


class CannotListen(Exception):
    """The address is in use, not ours, or not to be had."""


def listen(address: str, port: int, count: int) -> list[socket.socket]:
    """Return `count` listening sockets on one address; port 0 lets the kernel choose one for all of them.

    Raises CannotListen.
    """
    sockets: list[socket.socket] = []
    try:
        if count > 1 and port:
            # Sockets that share a port do not notice each other: a second server would take half of the clients.
            _listen_one(address, port, shared=False).close()
        for _ in range(count):
            sockets.append(_listen_one(address, port, shared=count > 1))
            port = sockets[0].getsockname()[1]
    except OSError as error:
        for each in sockets:
            each.close()
        raise CannotListen(f"http.address {address!r}, http.port {port}: {error.strerror or error}") from error
    return sockets


def _listen_one(address: str, port: int, *, shared: bool) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(
        address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # `::` takes IPv4 as well, as Go's listeners do.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def listen_unix(path: str) -> socket.socket:
    """Return a listening Unix socket at `path`, in place of one left behind. Raises CannotListen."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).exists():
            _remove_stale(Path(path))
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(f"http.unixSocket {path!r}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        raise FileExistsError(errno.EEXIST, "exists and is no socket")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "somebody listens there already")
