"""`http.auth`: the authentication methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zot.config.durations import Seconds
from zot.config.section import DriverOptions, Flag, Listed, Secret, Section, zot_key

if TYPE_CHECKING:
    from collections.abc import Sequence

OPENID_PROVIDERS = frozenset({"google", "gitlab", "oidc"})
OAUTH2_PROVIDERS = frozenset({"github"})
PUBLIC_ISSUERS = frozenset({"https://accounts.google.com", "https://gitlab.com"})


class HtpasswdConfig(Section):
    """Users in a password file."""

    path: str = zot_key("path", "", doc="File of `user:hash` lines (bcrypt, sha256-crypt, sha512-crypt).", reload=True)


class LdapConfig(Section):
    """Users in an LDAP directory."""

    address: str = zot_key("address", "", doc="Host of the LDAP server. Mandatory.")
    port: int = zot_key("port", 0, doc="Port of the server; 0: 636 with LDAPS, else 389.")
    base_dn: str = zot_key("baseDN", "", doc="Entry below which users are searched. Mandatory.")
    user_attribute: str = zot_key("userAttribute", "", doc="Attribute that holds the login name. Mandatory.")
    user_filter: str = zot_key("userFilter", "", doc="Additional search filter, without its outer parentheses.")
    user_group_attribute: str = zot_key("userGroupAttribute", "", doc="Attribute that holds a user's groups.")
    subtree_search: Flag = zot_key("subtreeSearch", False, doc="Search the whole tree below `baseDN`, not one level.")
    insecure: Flag = zot_key(
        "insecure", False, doc="Connect without LDAPS: with StartTLS if `startTLS`, else unencrypted."
    )
    start_tls: Flag = zot_key("startTLS", False, doc="With `insecure`: encrypt the connection by StartTLS.")
    skip_verify: Flag = zot_key("skipVerify", False, doc="Do not verify the server's certificate.")
    ca_cert: str = zot_key("caCert", "", doc="PEM file of the CAs that verify the server's certificate.")
    credentials_file: str = zot_key(
        "credentialsFile", "", doc='File with `{"bindDN", "bindPassword"}`; absent: an anonymous bind.'
    )


class AwsSecretsManagerConfig(Section):
    """A secret of AWS Secrets Manager with the keys of token issuers, by key id."""

    region: str = zot_key("region", "", doc="Region of the secret. Mandatory.")
    secret_name: str = zot_key("secretName", "", doc="Name of the secret. Mandatory.")
    refresh_interval_s: Seconds = zot_key("refreshInterval", 60.0, doc="Interval at which the secret is read again.")


class UpstreamTokenEndpointConfig(Section):
    """The token endpoint for credentials that are not a workload identity of this server."""

    realm: str = zot_key("realm", "", doc="URL of the token endpoint.")
    service: str = zot_key("service", "", doc="Service name in requests to the endpoint.")
    allow_insecure_http: Flag = zot_key("allowInsecureHttp", False, doc="Accept an `http` URL.")


class CelVariableConfig(Section):
    """A named expression over the claims."""

    name: str = zot_key("name", "", doc="Name of the variable, used as `vars.NAME`.")
    expression: str = zot_key("expression", "", doc="CEL expression over `claims`.")


class CelValidationConfig(Section):
    """A condition on the claims."""

    expression: str = zot_key("expression", "", doc="CEL expression that must be true.")
    message: str = zot_key("message", "", doc="Error message if it is false.")


class CelClaimMappingConfig(Section):
    """CEL expressions that map the claims of a workload's token to an identity."""

    variables: Listed[CelVariableConfig] = zot_key(
        "variables", (), doc="Named expressions, in the order of evaluation."
    )
    validations: Listed[CelValidationConfig] = zot_key("validations", (), doc="Conditions, all of which must be true.")
    username: str = zot_key("username", "", doc="Expression for the user name. Default: issuer, `/` and subject.")
    groups: str = zot_key("groups", "", doc="Expression for the list of groups.")


class BearerOidcConfig(Section):
    """An issuer of workload identities, such as a CI system or a Kubernetes cluster."""

    issuer: str = zot_key("issuer", "", doc="URL of the issuer. Mandatory.")
    audiences: Listed[str] = zot_key("audiences", (), doc="Accepted audiences, at least one.")
    claim_mapping: CelClaimMappingConfig | None = zot_key(
        "claimMapping", None, doc="Mapping from claims to an identity."
    )
    certificate_authority: str = zot_key(
        "certificateAuthority", "", doc="PEM text of the CA that verifies the issuer's certificate."
    )
    certificate_authority_file: str = zot_key(
        "certificateAuthorityFile", "", doc="PEM file of the CA that verifies the issuer's certificate."
    )
    skip_issuer_verification: Flag = zot_key(
        "skipIssuerVerification", False, doc="Accept tokens whose issuer differs from the discovered one."
    )


class BearerConfig(Section):
    """Bearer tokens, in place of passwords."""

    realm: str = zot_key("realm", "", doc="URL of the token server, for the challenge.")
    service: str = zot_key("service", "", doc="Service name, for the challenge.")
    cert: str = zot_key("cert", "", doc="File with a certificate, public key or JWKS that verifies tokens.")
    aws_secrets_manager: AwsSecretsManagerConfig | None = zot_key(
        "awsSecretsManager", None, doc="Keys that verify tokens, in place of `cert`."
    )
    oidc: Listed[BearerOidcConfig] = zot_key("oidc", (), doc="Issuers of workload identities.")
    upstream_token_endpoint: UpstreamTokenEndpointConfig | None = zot_key(
        "upstreamTokenEndpoint", None, doc="Token endpoint to which `/zot/auth/token` forwards other credentials."
    )


class ClaimMappingConfig(Section):
    """The claims of a login that hold the user name and the groups."""

    username: str = zot_key("username", "", doc="Claim with the user name. Default: `email`.")
    groups: str = zot_key("groups", "", doc="Claim with the groups. Default: `groups`.")


class OpenIdProviderConfig(Section):
    """An OpenID or OAuth2 provider of browser logins."""

    name: str = zot_key("name", "", doc="Label of the login button.")
    credentials_file: str = zot_key("credentialsFile", "", doc='File with `{"clientid", "clientsecret"}`.')
    client_id: str = zot_key("clientid", "", doc="Client id; preferably in `credentialsFile`.")
    client_secret: Secret | None = zot_key(
        "clientsecret", None, doc="Client secret; preferably in `credentialsFile`. Empty: PKCE alone."
    )
    key_path: str = zot_key("keypath", "", doc="PEM file of a private key that signs the client's assertion.")
    issuer: str = zot_key("issuer", "", doc="URL of the provider. Mandatory except for github.")
    auth_url: str = zot_key("authurl", "", doc="github: authorization URL of a self-hosted instance.")
    token_url: str = zot_key("tokenurl", "", doc="github: token URL of a self-hosted instance.")
    scopes: Listed[str] = zot_key("scopes", (), doc="Scopes to request. Mandatory.")
    claim_mapping: ClaimMappingConfig | None = zot_key(
        "claimMapping", None, doc="Claims with the user name and the groups."
    )


class OpenIdConfig(Section):
    """Browser logins."""

    providers: dict[str, OpenIdProviderConfig] = zot_key(
        "providers", {}, doc="Providers by name: `google`, `gitlab`, `oidc`, `github`."
    )
    callback_allow_origins: Listed[str] = zot_key(
        "callbackAllowOrigins", (), doc="Further origins to which a login may return."
    )


class MtlsConfig(Section):
    """The attributes of a client certificate that hold the user name."""

    identity_attributes: Listed[str] = zot_key(
        "identityAttributes",
        (),
        doc="Attributes, tried in order: `CommonName`, `Subject`, `Email`, `URI`, `DNSName`. Default: `CommonName`.",
    )
    uri_san_pattern: str = zot_key(
        "uriSanPattern", "", doc="Regular expression whose single group is the user name in the URI."
    )
    uri_san_index: int = zot_key("uriSanIndex", 0, doc="Index of the URI if there are several.")
    dns_san_index: int = zot_key("dnsSanIndex", 0, doc="Index of the DNS name if there are several.")
    email_san_index: int = zot_key("emailSanIndex", 0, doc="Index of the e-mail address if there are several.")


class AuthConfig(Section):
    """The authentication methods; without any every client is anonymous."""

    fail_delay_s: int = zot_key("failDelay", 0, doc="Seconds to wait before a failed authentication is answered.")
    htpasswd: HtpasswdConfig = zot_key(
        "htpasswd", HtpasswdConfig.model_construct(), doc="Users in a password file.", reload=True
    )
    ldap: LdapConfig | None = zot_key("ldap", None, doc="Users in an LDAP directory.", reload=True)
    bearer: BearerConfig | None = zot_key("bearer", None, doc="Bearer tokens, in place of passwords.")
    openid: OpenIdConfig | None = zot_key("openid", None, doc="Browser logins.", reload=True)
    apikey: Flag = zot_key("apikey", False, doc="API keys; always on with `openid`.", reload=True)
    session_keys_file: str = zot_key(
        "sessionKeysFile",
        "",
        doc='File with `{"hashKey", "encryptKey"}`, which protect sessions; not with `sessionDriver` redis.',
    )
    session_driver: DriverOptions = zot_key(
        "sessionDriver", None, doc="Store of sessions: `name` is `local` or `redis`."
    )
    secure_session: Flag | None = zot_key(
        "secureSession", None, doc="Mark cookies Secure, for a proxy that terminates TLS.", reload=True
    )
    mtls: MtlsConfig | None = zot_key("mtls", None, doc="Identities from client certificates.", reload=True)

    @property
    def has_htpasswd(self) -> bool:
        """Whether there is a password file."""
        return bool(self.htpasswd.path)

    @property
    def has_openid(self) -> bool:
        """Whether there is a supported provider of browser logins."""
        return self.openid is not None and not (OPENID_PROVIDERS | OAUTH2_PROVIDERS).isdisjoint(self.openid.providers)

    @property
    def has_basic(self) -> bool:
        """Whether users can log in by password, API key or browser (zot's basic authn)."""
        return self.has_htpasswd or self.ldap is not None or self.has_openid or self.apikey

    @property
    def has_token_bearer(self) -> bool:
        """Whether bearer tokens of a token server are accepted."""
        bearer = self.bearer
        return bearer is not None and bool(
            bearer.realm and bearer.service and (bearer.cert or bearer.aws_secrets_manager)
        )

    @property
    def has_bearer(self) -> bool:
        """Whether bearer tokens of any kind are accepted."""
        return self.has_token_bearer or (self.bearer is not None and bool(self.bearer.oidc))

    @property
    def has_external_groups(self) -> bool:
        """Whether users may have groups that the configuration does not name, from a login or a service account."""
        return self.ldap is not None or self.has_openid or self.apikey or bool(self.bearer and self.bearer.oidc)

    @property
    def public_providers(self) -> Sequence[str]:
        """The providers where anyone can get an account."""
        providers = self.openid.providers if self.openid is not None else {}
        return [
            name
            for name, provider in providers.items()
            if provider.issuer.rstrip("/") in PUBLIC_ISSUERS or (name in OAUTH2_PROVIDERS and not provider.auth_url)
        ]

    @property
    def session_driver_name(self) -> Literal["local", "redis"]:
        """The name of the driver that stores sessions."""
        return "redis" if (self.session_driver or {}).get("name") == "redis" else "local"
