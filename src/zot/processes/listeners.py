"""The sockets that clients connect to.

One socket a worker, all on one port (SO_REUSEPORT), made and kept by the supervisor: the kernel spreads connections,
and a worker that is replaced inherits the queue of the one before it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

from zot.config.errors import ConfigProblem, ConfigWarning, Finding
from zot.server.plan import ServerPlan
from zot.server.preflight import permission_denied
from zot.storage.lock import is_locked

BACKLOG = 1024

# The errors of a machine without IPv6.
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


class ListenError(Exception):
    """The address is in use, does not belong to this machine, or is not permitted."""


def listen(address: str, port: int, count: int) -> list[socket.socket]:
    """Return `count` listening sockets on one address; port 0 lets the kernel choose one for all of them.

    An empty address, `0.0.0.0` and `::` are all addresses of both families, as for Go; where there is no IPv6, of IPv4.
    An IPv6 address may have brackets; of a name that has addresses of both families the IPv4 one is taken.
    Raises ListenError.
    """
    sockets: list[socket.socket] = []
    try:
        if count > 1 and port:
            # Sockets that share a port do not notice each other: a second server would take half of the clients.
            _bind(address, port, shared=False).close()
        for _ in range(count):
            sockets.append(_bind(address, port, shared=count > 1))
            sockets[-1].listen(BACKLOG)
            sockets[-1].setblocking(False)
            port = sockets[0].getsockname()[1]
    except (OSError, UnicodeError) as error:
        for each in sockets:
            each.close()
        raise _cannot_listen(address, port, error) from error
    return sockets


def can_listen(address: str, port: int) -> bool:
    """Tell whether `listen` would find its address free, without listening. Raises ListenError if it never would."""
    try:
        _bind(address, port, shared=False).close()
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return False
        raise _cannot_listen(address, port, error) from error
    return True


def check_address(plan: ServerPlan) -> Iterator[Finding]:
    """Yield what a start would find wrong with its address. A port that the store's own server has is no finding."""
    if plan.unix_socket is not None:
        yield from _check_unix_socket(Path(plan.unix_socket))
        return
    try:
        free = can_listen(plan.address, plan.port)
    except ListenError as error:
        yield ConfigProblem(str(error), prefix="")
        return
    if not free and not any(map(is_locked, plan.roots)):
        yield ConfigWarning(f"{plan.port} is in use now, and would be refused", "http.port")


def _check_unix_socket(path: Path) -> Iterator[Finding]:
    key = f"http.unixSocket {str(path)!r}"
    if not path.parent.is_dir():
        yield ConfigProblem(f"{key}: {path.parent} is not a directory", prefix="")
    elif path.exists() and not path.is_socket():
        yield ConfigProblem(f"{key}: exists and is no socket", prefix="")
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        yield ConfigProblem(f"{key}: {permission_denied(path.parent)}", prefix="")


def _cannot_listen(address: str, port: int, error: Exception) -> ListenError:
    why = (isinstance(error, OSError) and error.strerror) or error
    return ListenError(f"http.address {address!r}, http.port {port}: {why}")


def is_wildcard(address: str) -> bool:
    """Tell whether an address, without brackets, stands for all addresses of the machine."""
    try:
        parsed = ip_address(address) if address else None
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return parsed is None or (mapped or parsed).is_unspecified


def _bind(address: str, port: int, *, shared: bool) -> socket.socket:
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if not is_wildcard(address):
        # Families of a name in the order of Go: IPv4 before IPv6.
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, where = min(found, key=lambda each: each[0] != socket.AF_INET)
        return _bind_to(family, where, shared=shared)
    try:
        return _bind_to(socket.AF_INET6, ("::", port), shared=shared)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        return _bind_to(socket.AF_INET, ("", port), shared=shared)


def _bind_to(family: int, where: tuple[Any, ...], *, shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # `::` takes IPv4 as well.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener


def listen_unix(path: str) -> socket.socket:
    """Return a listening Unix socket at `path`, in place of one left behind. Raises ListenError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).exists():
            _remove_stale(Path(path))
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"http.unixSocket {path!r}: {error.strerror or error}") from error
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
    raise OSError(errno.EADDRINUSE, "another process listens there already")
