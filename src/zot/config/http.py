"""`http`: the address, TLS, authentication, authorization and limits of the HTTP server."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from zot.config.access_control import AccessControlConfig
from zot.config.auth import AuthConfig
from zot.config.durations import Seconds
from zot.config.section import Flag, Listed, Section, own_key, zot_key

Network = IPv4Network | IPv6Network

DOCKER2S2 = "docker2s2"


def _network(value: object) -> Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8 or ::1/128")  # noqa: TRY004 - pydantic's way
    return ip_network(value, strict=False)


Cidr = Annotated[
    Network,
    BeforeValidator(_network),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]


class TlsConfig(Section):
    """Certificates, as paths of PEM files."""

    cert: str = zot_key("cert", "", doc="Certificate chain; read again when the file changes.")
    key: str = zot_key("key", "", doc="Private key of the certificate; read again when the file changes.")
    cacert: str = zot_key("cacert", "", doc="CAs that verify client certificates (mTLS).")


class MethodRateConfig(Section):
    """The limit of one HTTP method."""

    method: str = zot_key("method", "", doc="HTTP method, such as GET.")
    rate: int = zot_key("rate", 0, doc="Requests a second.")


class RateLimitConfig(Section):
    """Limits on requests a second, by client address and path."""

    rate: int | None = zot_key("rate", None, doc="Requests a second; absent: no limit.")
    methods: Listed[MethodRateConfig] = zot_key("methods", (), doc="Additional limits of single methods.")


class LimitsConfig(Section):
    """Limits on requests and connections."""

    max_manifest_bytes: int = own_key("http.limits.maxManifestBytes")
    max_header_bytes: int = own_key("http.limits.maxHeaderBytes")
    max_page_size: int = own_key("http.limits.maxPageSize")
    max_uploads_per_repository: int = own_key("http.limits.maxUploadsPerRepository")
    max_connections: int | None = own_key("http.limits.maxConnections")
    min_bytes_per_second: int = own_key("http.limits.minBytesPerSecond")
    header_timeout_s: Seconds = own_key("http.limits.headerTimeout")
    idle_timeout_s: Seconds = own_key("http.limits.idleTimeout")


class HttpConfig(Section):
    """The HTTP server."""

    address: str = zot_key("address", "127.0.0.1", doc="Address to listen on.")
    port: str = zot_key("port", "8080", doc="Port to listen on; 0 or empty: a free port, which is logged.")
    external_url: str = zot_key("externalUrl", "", doc="Origin of the server as browsers see it, for login redirects.")
    allow_origin: str = zot_key("allowOrigin", "", doc="Value of Access-Control-Allow-Origin; empty: `*`.")
    realm: str = zot_key("realm", "", doc="Realm of the Basic authentication challenge.")
    read_timeout_s: Seconds = zot_key(
        "readTimeout", 60.0, doc="Disconnect a sending client after this time without progress; 0 or less: no limit."
    )
    write_timeout_s: Seconds = zot_key(
        "writeTimeout", 60.0, doc="Disconnect a receiving client after this time without progress; 0 or less: no limit."
    )
    tls: TlsConfig | None = zot_key("tls", None, doc="HTTPS; needs `cert` and `key`.")
    auth: AuthConfig = zot_key("auth", AuthConfig.model_construct(), doc="Authentication methods.")
    access_control: AccessControlConfig | None = zot_key(
        "accessControl",
        None,
        doc="Authorization rules; absent: every client that passes authentication may do everything.",
        reload=True,
    )
    ratelimit: RateLimitConfig | None = zot_key("ratelimit", None, doc="Limits on requests a second.")
    compat: Listed[str] = zot_key(
        "compat",
        (DOCKER2S2,),
        doc="Media types accepted besides OCI's: `docker2s2`. An empty list refuses them.",
    )
    workers: int | None = own_key("http.workers")
    unix_socket: str = own_key("http.unixSocket")
    accept_sparse: Flag = own_key("http.acceptSparse")
    trusted_proxies: Listed[Cidr] = own_key("http.trustedProxies")
    drain_timeout_s: Seconds = own_key("http.drainTimeout")
    limits: LimitsConfig = own_key("http.limits", default=LimitsConfig.model_construct())

    @property
    def verifies_clients(self) -> bool:
        """Whether client certificates are requested and verified (mTLS)."""
        return self.tls is not None and bool(self.tls.cert and self.tls.key and self.tls.cacert)
