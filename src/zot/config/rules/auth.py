"""Rules of `http.auth`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zot.config.auth import OAUTH2_PROVIDERS, OPENID_PROVIDERS
from zot.config.errors import ConfigProblem, ConfigurationError, ConfigWarning, Finding
from zot.config.redis_options import redis_options
from zot.config.rules import patterns
from zot.config.urls import split_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zot.config.auth import AuthConfig, BearerConfig, UpstreamTokenEndpointConfig
    from zot.config.http import HttpConfig
    from zot.config.secret_files import SessionKeys
    from zot.config.section import Secret

LDAP_PREFIX = "invalid LDAP configuration: "
SESSION_DRIVERS = ("local", "redis")
SESSION_PREFIX = "zotsession"
ENCRYPT_KEY_BYTES = (16, 24, 32)
"""The lengths of AES keys."""
SHORTEST_HASH_KEY_BYTES = 32

# Attributes of a client certificate that may hold the user name: accepted spellings, in lower case, to canonical ones.
IDENTITY_ATTRIBUTES = {
    "commonname": "CommonName", "cn": "CommonName",
    "subject": "Subject", "dn": "Subject",
    "email": "Email", "rfc822name": "Email",
    "uri": "URI", "url": "URI",
    "dnsname": "DNSName", "dns": "DNSName",
}  # fmt: skip


def ldap(auth: AuthConfig) -> Iterator[Finding]:
    """Check that the mandatory keys of LDAP are set."""
    if auth.ldap is None:
        return
    for key, value in (
        ("userAttribute", auth.ldap.user_attribute),
        ("address", auth.ldap.address),
        ("basedn", auth.ldap.base_dn),
    ):
        if not value:
            text = f"invalid LDAP configuration, missing mandatory key: {key}"
            yield ConfigProblem(text, "http.auth.ldap", prefix=LDAP_PREFIX)


def mtls(http: HttpConfig) -> Iterator[Finding]:
    """Check the identity attributes of client certificates."""
    settings = http.auth.mtls
    if settings is None:
        return
    path = "http.auth.mtls"
    if not http.verifies_clients:
        text = "mTLS configuration requires TLS to be enabled with CA certificate"
        yield ConfigProblem(text, "http.tls", "cert, key and cacert")
    names = {name: IDENTITY_ATTRIBUTES.get(name.strip().lower()) for name in settings.identity_attributes}
    unknown = [name for name, known in names.items() if known is None]
    if unknown:
        allowed = ", ".join(dict.fromkeys(IDENTITY_ATTRIBUTES.values()))
        text = f"unsupported identity attribute: {','.join(unknown)}"
        yield ConfigProblem(text, f"{path}.identityAttributes", allowed)
    # zot requires URI for each of these keys; here the attribute of the key suffices.
    for key, value, attribute in (
        ("dnsSanIndex", settings.dns_san_index, "DNSName"),
        ("emailSanIndex", settings.email_san_index, "Email"),
        ("uriSanIndex", settings.uri_san_index, "URI"),
        ("uriSanPattern", settings.uri_san_pattern, "URI"),
    ):
        if value and not {attribute, "URI"} & set(names.values()):
            text = f"{key} is only supported for URI/URL MTLS identity attribute"
            yield ConfigProblem(text, f"{path}.identityAttributes", f"a list with {attribute}")
        if isinstance(value, int) and value < 0:
            yield ConfigProblem(f"invalid index {value}", f"{path}.{key}", "0 or more")
    pattern = [settings.uri_san_pattern] if settings.uri_san_pattern else []
    yield from patterns.regexes(pattern, f"{path}.uriSanPattern", "invalid URI SAN pattern")


def openid(auth: AuthConfig) -> Iterator[Finding]:
    """Check the providers of browser logins, after their credentials files are read."""
    for name, provider in (auth.openid.providers if auth.openid else {}).items():
        path = f"http.auth.openid.providers.{name}"
        if name in OPENID_PROVIDERS:
            if not (provider.client_id and provider.issuer and provider.scopes):
                yield ConfigProblem("OpenID provider config requires clientid, issuer and scopes parameters", path)
        elif name in OAUTH2_PROVIDERS:
            if not (provider.client_id and provider.scopes):
                yield ConfigProblem("OAuth2 provider config requires clientid and scopes parameters", path)
        else:
            supported = ", ".join(sorted(OPENID_PROVIDERS | OAUTH2_PROVIDERS))
            yield ConfigProblem("unsupported openid/oauth2 provider", path, supported)


def bearer(auth: AuthConfig) -> Iterator[Finding]:
    """Check the sources of the keys that verify tokens."""
    if auth.bearer is None:
        return
    path, secrets = "http.auth.bearer", auth.bearer.aws_secrets_manager
    if auth.bearer.cert and secrets is not None:
        yield ConfigProblem("cannot configure both cert and awsSecretsManager for bearer authentication", path)
    if auth.bearer.upstream_token_endpoint is not None:
        yield from _upstream(auth.bearer.upstream_token_endpoint)
    if secrets is not None:
        key = f"{path}.awsSecretsManager"
        if not secrets.region:
            yield ConfigProblem("awsSecretsManager region must be specified", key)
        if not secrets.secret_name:
            yield ConfigProblem("awsSecretsManager secretName must be specified", key)
        if secrets.refresh_interval_s < 0:
            yield ConfigProblem("awsSecretsManager refreshInterval must be non-negative", key)


def _upstream(endpoint: UpstreamTokenEndpointConfig) -> Iterator[Finding]:
    path = "http.auth.bearer.upstreamTokenEndpoint"
    if not (endpoint.realm and endpoint.service):
        text = "upstreamTokenEndpoint.realm and upstreamTokenEndpoint.service must be configured together"
        yield ConfigProblem(text, path)
        return
    url = split_url(endpoint.realm)
    scheme = url.scheme if url else ""
    if not url or not url.netloc:
        yield ConfigProblem("upstreamTokenEndpoint.realm must be an absolute URL", f"{path}.realm")
    elif scheme != "https" and not (scheme == "http" and endpoint.allow_insecure_http):
        text = "upstreamTokenEndpoint.realm must use https unless upstreamTokenEndpoint.allowInsecureHttp is true"
        yield ConfigProblem(text, f"{path}.realm")
    elif scheme == "http":
        yield ConfigWarning("credentials are sent unencrypted to an http URL", f"{path}.allowInsecureHttp")


def sessions(auth: AuthConfig) -> Iterator[Finding]:
    """Check the driver of sessions."""
    driver, path = auth.session_driver, "http.auth.sessionDriver"
    if driver is None:
        return
    if "name" not in driver:
        yield ConfigProblem("must provide session driver name!", path, " or ".join(SESSION_DRIVERS))
        return
    name = driver["name"]
    if name not in SESSION_DRIVERS:
        text = f"session store driver {name} is not allowed!"
        yield ConfigProblem(text, f"{path}.name", " or ".join(SESSION_DRIVERS))
    if name == "redis":
        if auth.session_keys_file:
            text = "session keys not supported when redis session driver is used!"
            yield ConfigProblem(text, "http.auth.sessionKeysFile")
        try:
            yield from map(ConfigWarning, redis_options(driver, SESSION_PREFIX, path)[1])
        except ConfigurationError as error:
            yield from error.problems


def session_keys(keys: SessionKeys | None) -> Iterator[Finding]:
    """Check the keys of sessions, after their file is read."""
    path = "http.auth.sessionKeysFile"
    sealing, signing = (_bytes(keys.encrypt_key), _bytes(keys.hash_key)) if keys is not None else (b"", b"")
    if sealing and len(sealing) not in ENCRYPT_KEY_BYTES:
        yield ConfigProblem("invalid encryptKey", path, "16, 24 or 32 bytes")
    if signing and len(signing) < SHORTEST_HASH_KEY_BYTES:
        yield ConfigWarning("hashKey is short: 32 or 64 bytes are recommended", path)


def _bytes(key: Secret | None) -> bytes:
    return key.get_secret_value().encode() if key is not None else b""


def lint(http: HttpConfig) -> Iterator[Finding]:
    """Warn of authentication methods by which no user can log in."""
    auth = http.auth
    if auth.bearer is not None and not auth.has_bearer:
        yield ConfigWarning(
            "ignored: bearer tokens need realm, service, and cert or awsSecretsManager", "http.auth.bearer"
        )
    if auth.has_token_bearer and (auth.has_basic or http.verifies_clients):
        yield ConfigWarning(
            "bearer tokens replace all other authentication methods: passwords are not accepted", "http.auth.bearer"
        )
    if auth.openid is not None and not auth.openid.providers:
        yield ConfigWarning("without a provider no user can log in", "http.auth.openid.providers")


def own_checks(auth: AuthConfig) -> Iterator[Finding]:
    """Check what zot does not check, or checks only at start."""
    if auth.fail_delay_s < 0:
        yield ConfigProblem(f"invalid delay {auth.fail_delay_s}", "http.auth.failDelay", "seconds, 0 or more")
    if auth.ldap is not None and not 0 <= auth.ldap.port <= 65535:
        yield ConfigProblem(f"invalid port {auth.ldap.port}", "http.auth.ldap.port", "an integer from 0 to 65535")
    if auth.bearer is not None:
        yield from _issuers(auth.bearer)


def _issuers(settings: BearerConfig) -> Iterator[Finding]:
    for i, issuer in enumerate(settings.oidc):
        path = f"http.auth.bearer.oidc[{i}]"
        if not issuer.issuer:
            yield ConfigProblem("an issuer of workload identities needs its URL", f"{path}.issuer")
        if not issuer.audiences:
            yield ConfigProblem("an issuer of workload identities needs at least one audience", f"{path}.audiences")
        if issuer.certificate_authority and issuer.certificate_authority_file:
            yield ConfigProblem("only one of certificateAuthority and certificateAuthorityFile can be used", path)
