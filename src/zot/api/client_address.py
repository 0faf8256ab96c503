"""The client's address, and the server's address as the client knows it, behind trusted proxies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from zot.api.http_request import HttpRequest, SocketAddress

Network = IPv4Network | IPv6Network

_HEADERS_LIMIT = 4096
"""Characters of forwarding headers looked at; no chain of proxies needs more."""

_MAPPED = "::ffff:"
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# RFC 7239, section 6: an address, in brackets if it is one of IPv6, and perhaps a port.
_NODE = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d{1,5})?|(?P<v4>[^:]+)(?::\d{1,5})?|(?P<bare>.+)")


class ClientAddresses:
    """Finds clients' addresses. Forwarding headers count from trusted proxies and a Unix socket's peers alone.

    `X-Forwarded-For` goes before `Forwarded` (RFC 7239), which counts where the former is absent: a proxy that sets
    the latter has to remove the former.
    """

    def __init__(self, trusted: Iterable[Network] = ()) -> None:
        """Trust the proxies of these networks."""
        self._trusted = tuple(trusted)

    def peer(self, http: HttpRequest) -> SocketAddress:
        """Return the address at the other end of the connection."""
        name = http.protocol.peername
        if not isinstance(name, tuple):
            return SocketAddress("", None)
        return SocketAddress(name[0].removeprefix(_MAPPED), name[1])

    def of(self, http: HttpRequest) -> SocketAddress:
        """Return the client: the right-most address that is not a trusted proxy's."""
        peer = self.peer(http)
        if not self._trusted and peer.ip:
            return peer
        if http.client is None:
            http.client = self._forwarded(http, peer)
        return http.client

    def trusts(self, http: HttpRequest) -> bool:
        """Tell whether the peer's headers about the client are believed."""
        return self._trusts(self.peer(http).ip)

    def origin(self, http: HttpRequest) -> str:
        """Return scheme and host by which the client reached the server, such as `https://registry.example.com`.

        For absolute URLs in responses; without a usable Host header the host is empty.
        """
        scheme, host = http.scheme, http.headers.get("Host", "")
        if self.trusts(http) and _short(http):
            forwarded = _forwarded_host(http)
            if forwarded.get("proto", "").lower() in {"http", "https"}:
                scheme = forwarded["proto"].lower()
            if _HOST.fullmatch(forwarded.get("host", "")):
                host = forwarded["host"]
        return f"{scheme}://{host if _HOST.fullmatch(host) else ''}"

    def _forwarded(self, http: HttpRequest, peer: SocketAddress) -> SocketAddress:
        if not self._trusts(peer.ip) or not _short(http):
            return peer
        ip = client_ip(peer.ip, _chain(http), self._trusted)
        return peer if ip == peer.ip else SocketAddress(ip, None)

    def _trusts(self, ip: str) -> bool:
        return not ip or _within(ip_address(ip), self._trusted)


def client_ip(peer: str, chain: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the right-most address of `chain` that is not trusted: the peer of the outermost trusted proxy.

    `chain` is what the proxies wrote, the nearest last; `peer` is trusted. What stands left of an untrusted or
    unreadable entry proves nothing. If all are trusted, the left-most is the client.
    """
    client = peer
    for entry in reversed(chain):
        address = parse_node(entry)
        if address is None:
            break
        client = str(address)
        if not _within(address, trusted):
            break
    return client


def network_of(ip: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    return str(IPv6Network((ip.partition("%")[0], 64), strict=False)) if ":" in ip else ip


def parse_node(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in an entry of X-Forwarded-For or `for=`, with or without a port; None if there is none.

    An IPv4 address written as one of IPv6 is returned as the former; a zone is left out.
    """
    found = _NODE.fullmatch(text.strip())
    if found is None:
        return None
    written = found["v6"] or found["v4"] or found["bare"]
    try:
        address = ip_address(written.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _short(http: HttpRequest) -> bool:
    headers = http.headers
    return (
        sum(len(value) for name in ("X-Forwarded-For", "Forwarded") for value in headers.getall(name, ()))
        <= _HEADERS_LIMIT
    )


def _chain(http: HttpRequest) -> list[str]:
    values = http.headers.getall("X-Forwarded-For", None)
    if values is not None:
        return ",".join(values).split(",")
    return [element.get("for", "") for element in http.forwarded]


def _forwarded_host(http: HttpRequest) -> dict[str, str]:
    """Return scheme and host as the nearest proxy forwarded them."""
    headers = http.headers
    forwarded = {
        "proto": headers.getall("X-Forwarded-Proto", [""])[-1].rpartition(",")[2].strip(),
        "host": headers.getall("X-Forwarded-Host", [""])[-1].rpartition(",")[2].strip(),
    }
    if "X-Forwarded-Proto" not in headers and "X-Forwarded-Host" not in headers and http.forwarded:
        forwarded = dict(http.forwarded[-1])
    return forwarded
