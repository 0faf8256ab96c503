"""HTTPS: what is negotiated, whom it trusts, and certificates that are renewed while it serves."""

import shutil
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from certificates import Authority
from http_client import Client, parsed, wait_for
from layout.images import image
from servers.zot import ZotServer

# What is started for all of them is started once.
pytestmark = pytest.mark.xdist_group("tls")


def trusting(authority: Authority, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """What a client verifies the server by, and shows it if it has a certificate."""
    context = ssl.create_default_context(cafile=authority.path)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ZotServer]:
    """A server with HTTPS that lets in who shows a certificate; it has copies of its own."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("server.pem", "server.key"):
        shutil.copy(authority.folder / name, folder / name)
    tls = {"cert": str(folder / "server.pem"), "key": str(folder / "server.key"), "cacert": str(authority.path)}
    with ZotServer(folder, http={"tls": tls}, tls=trusting(authority, authority.issue("tester"))) as running:
        yield running


def negotiated(server: ZotServer, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Make a connection."""
    return context.wrap_socket(Client(server.host).socket(), server_hostname="127.0.0.1")


def serial(server: ZotServer, authority: Authority) -> object:
    """The serial number of the certificate that is served now."""
    with negotiated(server, trusting(authority)) as connection:
        return (connection.getpeercert() or {})["serialNumber"]


def test_images_are_pushed_and_pulled(server: ZotServer) -> None:
    """Bodies of any size go both ways, ranges too."""
    pushed, content = image("a"), bytes(range(256)) * 20_000
    server.client.push("app", pushed, "v1")
    assert server.client.get("/v2/app/manifests/v1").body == pushed.content
    blob = f"/v2/app/blobs/{server.client.push_blob('app', content)}"
    assert server.client.get(blob).body == content
    assert server.client.get(blob, Range="bytes=1000-4000000").body == content[1000:4000001]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_are_spoken(server: ZotServer, authority: Authority, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3, with forward secrecy and authenticated encryption, and HTTP/1.1 if a client asks."""
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with negotiated(server, context) as connection:
        cipher = connection.cipher()
        assert cipher is not None
        assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
        assert version is ssl.TLSVersion.TLSv1_3 or cipher[0].startswith("ECDHE")
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_old_and_weak_ones_are_not(server: ZotServer, authority: Authority) -> None:
    """Neither TLS 1.1, nor ciphers without forward secrecy."""
    old = trusting(authority)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    weak = trusting(authority)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-GCM-SHA256:AES256-SHA")
    for context in (old, weak):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            negotiated(server, context)


@pytest.mark.parametrize("target", ["GET /v2/ HTTP/1.1", "POST /v2/app/blobs/uploads/ HTTP/1.0", "OPTIONS * HTTP/1.1"])
def test_plain_http_is_answered_in_plain_http(server: ZotServer, target: str) -> None:
    """A client that forgot the `s` gets an error that says so, and the connection is closed; nothing is served."""
    answer = parsed(Client(server.host).raw(f"{target}\r\nHost: x\r\nX-Long: {'x' * 9000}\r\n\r\n".encode()))
    assert answer.status == 400
    assert answer["Connection"] == "close"
    assert answer.body == b"Client sent an HTTP request to an HTTPS server.\n"


def test_other_bytes_get_no_answer_of_http(server: ZotServer) -> None:
    """What is neither TLS nor HTTP is not answered as if it were HTTP, and one byte of TLS alone is not either."""
    assert not Client(server.host).raw(b"\x00\x01nonsense\r\n\r\n").startswith(b"HTTP")
    assert not Client(server.host).raw(b"\x16").startswith(b"HTTP")


def test_certificates_of_clients_are_verified(server: ZotServer, authority: Authority, tmp_path: Path) -> None:
    """One of the authority is admitted, none is not; one of another authority, or expired, ends the connection."""
    assert server.client.get("/v2/").status == 200
    assert Client(server.host, trusting(authority)).get("/v2/").error == (401, "UNAUTHORIZED")
    bad = [Authority(tmp_path, "another authority").issue("mallory"), authority.issue("expired", days=-1)]
    for certificate in bad:
        with pytest.raises((ssl.SSLError, OSError)):
            Client(server.host, trusting(authority, certificate)).get("/v2/")


def test_a_renewed_certificate_is_served(server: ZotServer, authority: Authority) -> None:
    """New connections get the new one, by every process; those that are open go on."""
    before = serial(server, authority)
    with closing(server.client.connection()) as connection:
        connection.request("GET", "/v2/")
        connection.getresponse().read()
        renewed = authority.issue("renewed", hosts=["127.0.0.1"])
        for path, name in zip(renewed, ("server.pem", "server.key"), strict=True):
            shutil.copy(path, server.folder / name)
        # A pair that is half renewed is not used; of eight connections some are to either process.
        wait_for(lambda: before not in {serial(server, authority) for _ in range(8)})
        assert connection.sock is not None
        connection.request("GET", "/v2/")
        assert connection.getresponse().status == 200
    wait_for(lambda: "certificate reloaded from" in server.output())  # its line is written by a thread of the log


def test_a_broken_certificate_is_not_served(server: ZotServer, authority: Authority) -> None:
    """What cannot be used is said, and the one before it stays."""
    before, certificate = serial(server, authority), server.folder / "server.pem"
    content = certificate.read_bytes()
    certificate.write_text("no certificate")
    wait_for(lambda: server.output().count("certificate not reloaded, the old one stays") == 1)
    assert {serial(server, authority) for _ in range(8)} == {before}
    certificate.write_bytes(content)


@pytest.mark.parametrize(("order", "chosen"), [("AES128:AES256", "AES128"), ("CHACHA20:AES128", "CHACHA20")])
def test_the_client_chooses_the_cipher(server: ZotServer, authority: Authority, order: str, chosen: str) -> None:
    """It knows what its machine is fastest at, and the server has good ones alone."""
    context = trusting(authority, authority.issue("tester"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # Python cannot order those of later ones
    context.set_ciphers(":".join(f"ECDHE+{each}" for each in order.split(":")))
    with negotiated(server, context) as connection:
        cipher = connection.cipher()
    assert cipher is not None
    assert chosen in cipher[0]
