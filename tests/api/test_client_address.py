"""A client's address is what a trusted proxy says, and nothing that anybody else says."""

from ipaddress import ip_address, ip_network

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from loopback import serve_handler
from zot.api.client_address import ClientAddresses, client_ip, parse_node
from zot.api.http_request import HttpRequest, SocketAddress

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PROXIES = st.ip_addresses(network="10.0.0.0/8").map(str) | st.ip_addresses(network="fd00::/8").map(str)
CLIENTS = st.ip_addresses(network="203.0.113.0/24").map(str) | st.ip_addresses(network="2001:db8::/32").map(str)
WRITTEN = (CLIENTS | PROXIES | st.text(st.characters(codec="latin-1"), max_size=40)) | st.just("unknown")


def as_written(ip: str, port: int | None) -> str:
    """An address as a proxy may write it."""
    if port is None:
        return ip
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


@given(st.lists(WRITTEN, max_size=5), CLIENTS, st.lists(PROXIES, max_size=4))
def test_the_client_is_the_right_most_untrusted_address(lies: list[str], client: str, proxies: list[str]) -> None:
    """Whatever the client wrote into the header itself, its address is the one that the trusted proxies saw."""
    assert client_ip("10.0.0.1", [*lies, client, *proxies], TRUSTED) == client


@given(st.lists(PROXIES, max_size=5))
def test_among_trusted_addresses_the_left_most_is_the_client(proxies: list[str]) -> None:
    """A request that began within the trusted networks came from the first of them."""
    assert client_ip("10.0.0.1", proxies, TRUSTED) == [*proxies, "10.0.0.1"][0]


@given(st.lists(WRITTEN, max_size=5), st.lists(PROXIES, max_size=3))
def test_what_cannot_be_read_hides_what_is_left_of_it(lies: list[str], proxies: list[str]) -> None:
    """Left of an unreadable entry nothing is believed: the client is the last hop that was readable."""
    assert client_ip("10.0.0.1", [*lies, "unknown", *proxies], TRUSTED) == [*proxies, "10.0.0.1"][0]


@given(CLIENTS, st.none() | st.integers(0, 65535), st.sampled_from(["", " ", "\t"]))
def test_an_address_is_read_with_and_without_its_port(ip: str, port: int | None, space: str) -> None:
    """Each form of X-Forwarded-For and RFC 7239 gives the address."""
    assert parse_node(f"{space}{as_written(ip, port)}{space}") == ip_address(ip)


@given(st.text())
def test_any_entry_can_be_parsed(text: str) -> None:
    """An entry is an address or nothing, never an error."""
    parse_node(text)


@pytest.mark.parametrize(
    ("written", "ip"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("192.0.2.1:80", "192.0.2.1"),
    ],
)
def test_spellings_of_one_address(written: str, ip: str) -> None:
    """A mapped IPv4 address is one of IPv4; zones and ports are no part of it."""
    assert str(parse_node(written)) == ip


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "1.2.3", "256.1.1.1", "[::1", "::1]", "01.2.3.4", "a:b"])
def test_what_is_no_address(text: str) -> None:
    """Anything else is refused."""
    assert parse_node(text) is None


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (SocketAddress("192.0.2.1", 80), "192.0.2.1:80"),
        (SocketAddress("2001:db8::1", 80), "[2001:db8::1]:80"),
        (SocketAddress("2001:db8::1", None), "[2001:db8::1]"),
        (SocketAddress("192.0.2.1", None), "192.0.2.1"),
        (SocketAddress("", None), "unix"),
    ],
)
def test_addresses_are_shown_as_go_shows_them(address: SocketAddress, text: str) -> None:
    """Log lines have zot's form of addresses."""
    assert str(address) == text


async def seen(addresses: ClientAddresses, headers: dict[str, str], where: str = "127.0.0.1") -> tuple[str, str]:
    """The client's address and the server's origin, as a handler sees them."""
    told: list[tuple[str, str]] = []

    async def handler(http: HttpRequest) -> web.StreamResponse:
        assert addresses.of(http) == addresses.of(http)
        told.append((addresses.of(http).ip, addresses.origin(http)))
        return web.Response()

    async with serve_handler(handler, where=where) as server:
        await server.ask("GET", "/", headers)
    (one,) = told
    return one


FORWARDED = {
    "X-Forwarded-For": "198.51.100.7, 203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "images.example:8443",
}


async def test_nobody_is_believed_by_default() -> None:
    """Without trusted proxies the peer is the client, and Host says where the server is."""
    assert await seen(ClientAddresses(), FORWARDED) == ("127.0.0.1", "http://registry.example")


async def test_others_than_trusted_proxies_are_not_believed() -> None:
    """With trusted proxies elsewhere, the headers of this peer count for nothing."""
    assert await seen(ClientAddresses(TRUSTED), FORWARDED) == ("127.0.0.1", "http://registry.example")


LOOPBACK = ClientAddresses([ip_network("127.0.0.0/8"), ip_network("::1/128")])


async def test_a_trusted_proxy_is_believed() -> None:
    """Its X-Forwarded-For, -Proto and -Host headers say who the client is and what it called the server."""
    assert await seen(LOOPBACK, FORWARDED) == ("203.0.113.9", "https://images.example:8443")
    assert await seen(LOOPBACK, FORWARDED, "::1") == ("203.0.113.9", "https://images.example:8443")


async def test_forwarded_is_understood() -> None:
    """Forwarded (RFC 7239) counts where X-Forwarded-For is absent."""
    header = 'for=198.51.100.7, for="[2001:db8::9]:4711";proto=https;host=images.example'
    assert await seen(LOOPBACK, {"Forwarded": header}) == ("2001:db8::9", "https://images.example")
    both = {"Forwarded": header, "X-Forwarded-For": "203.0.113.9"}
    assert (await seen(LOOPBACK, both))[0] == "203.0.113.9"


@pytest.mark.parametrize("host", ["a/b", "a b", "evil@images.example", "a..\\", "-a", "[::1", "x" * 300, ""])
async def test_a_host_that_is_none_is_ignored(host: str) -> None:
    """What a URL cannot hold does not get into one."""
    assert (await seen(LOOPBACK, {"X-Forwarded-Host": host, "X-Forwarded-Proto": "gopher"}))[1] == (
        "http://registry.example"
    )


async def test_endless_headers_are_not_read() -> None:
    """More forwarding headers than any chain of proxies needs are not looked at: the peer is the client."""
    assert (await seen(LOOPBACK, {"X-Forwarded-For": "127.0.0.1," * 500 + "203.0.113.9"}))[0] == "127.0.0.1"


async def test_a_unix_socket_is_a_proxys(tmp_path: object) -> None:
    """Who may open the socket stands in front of this server, and is believed."""
    where = f"{tmp_path}/socket"
    assert (await seen(ClientAddresses(), FORWARDED, where))[0] == "203.0.113.9"
    assert (await seen(ClientAddresses(), {}, where))[0] == ""
