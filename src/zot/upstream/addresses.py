"""Which addresses an upstream may lead this server to.

A response that redirects, or that names a token server, chooses where this server connects. It reaches the server's
own network only if the upstream is in such a network itself: otherwise a public registry could have it ask internal
services. The addresses that were checked are those that are connected to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Set as AbstractSet
from urllib.request import getproxies

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the Internet."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_global and not parsed.is_multicast


def is_private_literal(host: str) -> bool:
    """Tell whether a URL's host is an IP address that is not public; such a host is not resolved.

    Short forms, such as 127.1 and 2130706433, count as not public, whatever the HTTP client makes of them.
    """
    looks_numeric = ":" in host or host.replace(".", "").isdigit()
    return looks_numeric and not is_public(host)


def proxy_hosts() -> frozenset[str]:
    """Return the hosts of the proxies that the environment names for HTTP, as the client reads them."""
    proxies = getproxies()
    hosts = (URL(proxies[scheme]).host for scheme in ("http", "https") if scheme in proxies)
    return frozenset(host for host in hosts if host)


async def is_in_private_network(host: str) -> bool:
    """Tell whether a host resolves to an address that is not public. False if it does not resolve."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(not is_public(str(each[4][0])) for each in found)


def same_origin(one: URL, other: URL) -> bool:
    """Tell whether two URLs are of the same server."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def same_site(upstream: str, host: str) -> bool:
    """Tell whether a host belongs to the site of an upstream, as auth.docker.io does to registry-1.docker.io.

    The site is the upstream's name without its first component, if two are left that are no public suffix such as
    co.uk; else the name itself.
    """
    if upstream == host:
        return True
    labels = upstream.split(".")
    if len(labels) < 3 or labels[-1].isdigit():
        return host.endswith(f".{upstream}") and not labels[-1].isdigit() and len(labels) > 1
    parent = labels[1:]
    if len(parent) == 2 and len(parent[0]) <= 3 and len(parent[1]) == 2:
        return host.endswith(f".{upstream}")
    site = ".".join(parent)
    return host == site or host.endswith(f".{site}")


class PublicResolver(AbstractResolver):
    """Resolves names to their public addresses only."""

    def __init__(self, proxies: AbstractSet[str] = frozenset()) -> None:
        """Resolve as the system does; `proxies`, which the operator names, may be in a private network."""
        self._proxies = proxies
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the public addresses of a host. Raises OSError if it has none."""
        found = await self._system.resolve(host, port, family)
        public = [each for each in found if host in self._proxies or is_public(each["host"])]
        if not public:
            raise OSError(f"{host} is in a private network, where an upstream may not lead")
        return public

    async def close(self) -> None:
        """Close the system's resolver."""
        await self._system.close()
