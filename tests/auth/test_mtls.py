"""Users by client certificates."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from auth.harness import UI, serving
from certificates import Authority
from zot.auth.authenticators.mtls import MtlsAuthenticator
from zot.config.auth import MtlsConfig
from zot.server.tls import Certificates, TlsFiles

SUBJECT = [(NameOID.COUNTRY_NAME, "NL"), (NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, "alice")]
URIS = ["spiffe://example.org/ns/team/sa/builder", "https://alice.example.org"]


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> bytes:
    """Issue a certificate with a name of every kind."""
    path, _ = authority.issue(
        "everything",
        subject=SUBJECT,
        hosts=["a.example.org", "b.example.org", "10.0.0.1"],
        emails=["alice@example.org", "a@example.org"],
        uris=URIS,
    )
    return der(path)


def der(path: Path) -> bytes:
    """Give a certificate as TLS hands it over."""
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "alice"),
        ({"identityAttributes": ["CN"]}, "alice"),
        ({"identityAttributes": ["Subject"]}, "CN=alice,O=Example,C=NL"),
        ({"identityAttributes": ["rfc822name"]}, "alice@example.org"),
        ({"identityAttributes": ["Email", "URI"], "emailSanIndex": 1}, "a@example.org"),
        ({"identityAttributes": ["DNSName"]}, "a.example.org"),
        ({"identityAttributes": ["DNS", "URL"], "dnsSanIndex": 1}, "b.example.org"),
        ({"identityAttributes": ["URI"], "uriSanIndex": 1}, "https://alice.example.org"),
        ({"identityAttributes": ["url"], "uriSanPattern": "^spiffe://example.org/ns/([^/]+)/"}, "team"),
        ({"identityAttributes": ["URI"], "uriSanPattern": "^spiffe://other/(.*)$"}, None),
        ({"identityAttributes": ["URI"], "uriSanIndex": 9}, None),
        ({"identityAttributes": ["URI", "CommonName"], "uriSanIndex": 9}, "alice"),
        ({"identityAttributes": ["URI"], "uriSanPattern": "^(x?)"}, None),
    ],
)
def test_the_first_attribute_that_is_there_names_the_user(
    certificate: bytes, settings: dict[str, Any], name: str | None
) -> None:
    """By the configured attributes in their order, with index and pattern; an empty name is none."""
    principal = MtlsAuthenticator(MtlsConfig.model_validate(settings)).verify(certificate)
    assert (principal.name if principal else None) == name
    assert principal is None or principal.method == "mtls"


def test_a_certificate_that_names_nobody_is_nobody(authority: Authority) -> None:
    """Neither is one that can't be read, or whose name has characters that do not print."""
    unnamed, _ = authority.issue("unnamed", subject=[(NameOID.ORGANIZATION_NAME, "Example")])
    control, _ = authority.issue("control", subject=[(NameOID.COMMON_NAME, "al\nice")])
    for broken in (der(unnamed), der(control), b"", b"garbage"):
        assert MtlsAuthenticator(None).verify(broken) is None


async def test_a_verified_certificate_is_a_login(tmp_path: Path, authority: Authority) -> None:
    """Without one, and with one of a stranger's authority, nobody gets in; groups come from the configuration."""
    server, server_key = authority.issue("registry", hosts=["127.0.0.1"])
    people = {name: authority.issue(name) for name in ("alice", "bob")}
    people["nobody"] = authority.issue("nobody", subject=[(NameOID.ORGANIZATION_NAME, "Example")])
    (tmp_path / "stranger").mkdir()
    people["stranger"] = Authority(tmp_path / "stranger").issue("alice")
    http = {
        "tls": {"cert": str(server), "key": str(server_key), "cacert": str(authority.path)},
        "accessControl": {
            "repositories": {"**": {"policies": [{"groups": ["dev"], "actions": ["read"]}]}},
            "groups": {"dev": {"users": ["alice"]}},
        },
    }
    files = TlsFiles(server, server_key, authority.path)
    tls = Certificates(files, files.read()).context
    async with serving(tmp_path, http, tls=tls) as site:

        async def status(name: str | None, path: str = "/v2/team/app/tags/list", **options: Any) -> int:
            context = ssl.create_default_context(cafile=authority.path)
            if name is not None:
                context.load_cert_chain(*people[name])
            method = options.pop("method", "GET")
            async with (
                aiohttp.ClientSession(site.url) as client,
                client.request(method, path, ssl=context, **options) as response,
            ):
                return response.status

        assert await status(None) == 401
        unknown = ssl.create_default_context(cafile=authority.path)
        async with aiohttp.ClientSession(site.url) as client, client.get("/v2/", ssl=unknown) as response:
            assert response.headers["WWW-Authenticate"] == 'Basic realm="Authorization Required"'
        assert await status("alice") == 404
        assert await status("bob") == 403
        assert await status("nobody") == 401
        with pytest.raises((aiohttp.ClientError, OSError)):
            await status("stranger")
        assert await status("alice", headers=UI) == 404
        evil = {"Origin": "https://evil.example"}
        uploads = "/v2/team/app/blobs/uploads/"
        assert await status("alice", uploads, method="POST", headers=evil) == 403
