"""Where an upstream may lead this server, and which hosts belong to its site."""

from __future__ import annotations

import socket

import pytest

from zot.upstream.addresses import PublicResolver, is_private_literal, is_public, same_site


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1", "fd00::1",
     "fe80::1%eth0", "::ffff:10.0.0.1", "metadata"],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    """Loopback, private and link-local networks, shared address space, multicast, and IPv4 written as IPv6."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888"])
def test_public_addresses(address: str) -> None:
    """Addresses of the Internet."""
    assert is_public(address)
    assert not is_private_literal(address)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "127.0.0.1.", "10.0.0.1", "::1", "fe80::1%eth0"])
def test_private_literals(host: str) -> None:
    """An address that is connected to without the resolver is refused in each form that the system takes."""
    assert is_private_literal(host)


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "1.example.org"])
def test_names_are_no_literals(host: str) -> None:
    """What the HTTP client gives to the resolver is judged by what it resolves to."""
    assert not is_private_literal(host)


async def test_names_resolve_to_public_addresses_only() -> None:
    """A name of the private network does not resolve, so that no connection is made."""
    resolver = PublicResolver()
    with pytest.raises(OSError, match="private network"):
        await resolver.resolve("localhost", 80, socket.AF_INET)
    await resolver.close()


@pytest.mark.parametrize(
    ("upstream", "host", "same"),
    [
        ("registry-1.docker.io", "auth.docker.io", True),
        ("registry.gitlab.com", "gitlab.com", True),
        ("ghcr.io", "ghcr.io", True),
        ("quay.io", "evil.io", False),
        ("ghcr.io", "evilghcr.io", False),
        ("registry.co.uk", "evil.co.uk", False),
        ("a.registry.co.uk", "auth.registry.co.uk", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "x.0.0.1", False),
        ("localhost", "localhost", True),
        ("registry", "auth.registry", False),
    ],
)
def test_sites(upstream: str, host: str, same: bool) -> None:
    """Hosts beside or below the upstream are of its site; those of a public suffix, or of an address, are not."""
    assert same_site(upstream, host) is same
