"""`http.auth`: the ways to log in."""

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
    """Users in a file."""

    path: str = zot_key("path", "", doc="File of `user:hash` lines (bcrypt, sha256-crypt, sha512-crypt).", reload=True)


class LdapConfig(Section):
    """Users in a directory."""

    address: str = zot_key("address", "", doc="Host of the server. Mandatory.")
    port: int = zot_key("port", 0, doc="Port of the server; 0: 636 with LDAPS, else 389.")
    base_dn: str = zot_key("baseDN", "", doc="Where to search users. Mandatory.")
    user_attribute: str = zot_key("userAttribute", "", doc="Attribute that holds the login name. Mandatory.")
    user_filter: str = zot_key("userFilter", "", doc="Further condition on users, without its outer parentheses.")
    user_group_attribute: str = zot_key("userGroupAttribute", "", doc="Attribute that holds a user's groups.")
    subtree_search: Flag = zot_key("subtreeSearch", False, doc="Search the whole tree below `baseDN`, not one level.")
    insecure: Flag = zot_key("insecure", False, doc="No LDAPS: StartTLS if `startTLS`, else no encryption.")
    start_tls: Flag = zot_key("startTLS", False, doc="With `insecure`: encrypt by StartTLS.")
    skip_verify: Flag = zot_key("skipVerify", False, doc="Do not verify the server's certificate.")
    ca_cert: str = zot_key("caCert", "", doc="PEM file of the authorities of the server's certificate.")
    credentials_file: str = zot_key(
        "credentialsFile", "", doc='File with `{"bindDN", "bindPassword"}`; absent: an anonymous bind.'
    )


class AwsSecretsManagerConfig(Section):
    """A secret that holds the keys of token issuers, by key id."""

    region: str = zot_key("region", "", doc="Region of the secret. Mandatory.")
    secret_name: str = zot_key("secretName", "", doc="Name of the secret. Mandatory.")
    refresh_interval_s: Seconds = zot_key("refreshInterval", 60.0, doc="How often the secret is read again.")


class UpstreamTokenEndpointConfig(Section):
    """Where credentials go that are no workload identity of this server."""

    realm: str = zot_key("realm", "", doc="URL of the token endpoint.")
    service: str = zot_key("service", "", doc="Service name that is asked for there.")
    allow_insecure_http: Flag = zot_key("allowInsecureHttp", False, doc="Accept an `http` URL.")


class CelVariableConfig(Section):
    """A name for an expression over the claims."""

    name: str = zot_key("name", "", doc="Name of the variable, used as `vars.NAME`.")
    expression: str = zot_key("expression", "", doc="CEL expression over `claims`.")


class CelValidationConfig(Section):
    """A condition on the claims."""

    expression: str = zot_key("expression", "", doc="CEL expression that must be true.")
    message: str = zot_key("message", "", doc="What is answered if it is not.")


class CelClaimMappingConfig(Section):
    """How the claims of a workload's token become an identity, in CEL."""

    variables: Listed[CelVariableConfig] = zot_key(
        "variables", (), doc="Names for expressions, in the order of evaluation."
    )
    validations: Listed[CelValidationConfig] = zot_key("validations", (), doc="Conditions, all of which must be true.")
    username: str = zot_key("username", "", doc="Expression of the user name. Default: issuer, `/` and subject.")
    groups: str = zot_key("groups", "", doc="Expression of the list of groups.")


class BearerOidcConfig(Section):
    """An issuer of workload identities, such as a CI system or a Kubernetes cluster."""

    issuer: str = zot_key("issuer", "", doc="URL of the issuer. Mandatory.")
    audiences: Listed[str] = zot_key("audiences", (), doc="Audiences accepted, at least one.")
    claim_mapping: CelClaimMappingConfig | None = zot_key("claimMapping", None, doc="From claims to an identity.")
    certificate_authority: str = zot_key("certificateAuthority", "", doc="PEM text of the issuer's authority.")
    certificate_authority_file: str = zot_key("certificateAuthorityFile", "", doc="PEM file of the issuer's authority.")
    skip_issuer_verification: Flag = zot_key(
        "skipIssuerVerification", False, doc="Accept tokens that name another issuer than the discovered one."
    )


class BearerConfig(Section):
    """Tokens in place of passwords."""

    realm: str = zot_key("realm", "", doc="URL of the token server, for the challenge.")
    service: str = zot_key("service", "", doc="Service name, for the challenge.")
    cert: str = zot_key("cert", "", doc="File with a certificate, public key or JWKS that verifies tokens.")
    aws_secrets_manager: AwsSecretsManagerConfig | None = zot_key(
        "awsSecretsManager", None, doc="Keys that verify tokens, in place of `cert`."
    )
    oidc: Listed[BearerOidcConfig] = zot_key("oidc", (), doc="Issuers of workload identities.")
    upstream_token_endpoint: UpstreamTokenEndpointConfig | None = zot_key(
        "upstreamTokenEndpoint", None, doc="Where `/zot/auth/token` sends credentials that are not its own."
    )


class ClaimMappingConfig(Section):
    """Which claims of a login name the user and the groups."""

    username: str = zot_key("username", "", doc="Claim of the user name. Default: `email`.")
    groups: str = zot_key("groups", "", doc="Claim of the groups. Default: `groups`.")


class OpenIdProviderConfig(Section):
    """A provider of logins in the browser."""

    name: str = zot_key("name", "", doc="Label of the login button.")
    credentials_file: str = zot_key("credentialsFile", "", doc='File with `{"clientid", "clientsecret"}`.')
    client_id: str = zot_key("clientid", "", doc="Client id; better in `credentialsFile`.")
    client_secret: Secret | None = zot_key(
        "clientsecret", None, doc="Client secret; better in `credentialsFile`. Empty: PKCE alone."
    )
    key_path: str = zot_key("keypath", "", doc="PEM file of a private key that signs the client's assertion.")
    issuer: str = zot_key("issuer", "", doc="URL of the provider. Mandatory but for github.")
    auth_url: str = zot_key("authurl", "", doc="github: authorization URL of an own instance.")
    token_url: str = zot_key("tokenurl", "", doc="github: token URL of an own instance.")
    scopes: Listed[str] = zot_key("scopes", (), doc="Scopes to ask for. Mandatory.")
    claim_mapping: ClaimMappingConfig | None = zot_key("claimMapping", None, doc="Claims of user name and groups.")


class OpenIdConfig(Section):
    """Logins in the browser."""

    providers: dict[str, OpenIdProviderConfig] = zot_key(
        "providers", {}, doc="By name: `google`, `gitlab`, `oidc`, `github`."
    )
    callback_allow_origins: Listed[str] = zot_key(
        "callbackAllowOrigins", (), doc="Origins, beside the own one, that a login may return to."
    )


class MtlsConfig(Section):
    """What of a client certificate names the user."""

    identity_attributes: Listed[str] = zot_key(
        "identityAttributes",
        (),
        doc="Tried in order: `CommonName`, `Subject`, `Email`, `URI`, `DNSName`. Default: `CommonName`.",
    )
    uri_san_pattern: str = zot_key("uriSanPattern", "", doc="Regular expression whose one group is the name in a URI.")
    uri_san_index: int = zot_key("uriSanIndex", 0, doc="Which URI of several.")
    dns_san_index: int = zot_key("dnsSanIndex", 0, doc="Which DNS name of several.")
    email_san_index: int = zot_key("emailSanIndex", 0, doc="Which e-mail address of several.")


class AuthConfig(Section):
    """The ways to log in; none means that everybody is anonymous."""

    fail_delay_s: int = zot_key("failDelay", 0, doc="Seconds to wait before a refusal is answered.")
    htpasswd: HtpasswdConfig = zot_key("htpasswd", HtpasswdConfig(), doc="Users in a file.", reload=True)
    ldap: LdapConfig | None = zot_key("ldap", None, doc="Users in a directory.", reload=True)
    bearer: BearerConfig | None = zot_key("bearer", None, doc="Tokens in place of passwords.")
    openid: OpenIdConfig | None = zot_key("openid", None, doc="Logins in the browser.", reload=True)
    apikey: Flag = zot_key("apikey", False, doc="API keys; always on with `openid`.", reload=True)
    session_keys_file: str = zot_key(
        "sessionKeysFile", "", doc='File with `{"hashKey", "encryptKey"}` that protect local sessions.'
    )
    session_driver: DriverOptions = zot_key(
        "sessionDriver", None, doc="Where sessions are kept: `name` is `local` or `redis`."
    )
    secure_session: Flag | None = zot_key(
        "secureSession", None, doc="Mark cookies Secure although TLS ends before this server.", reload=True
    )
    mtls: MtlsConfig | None = zot_key("mtls", None, doc="Identity from client certificates.", reload=True)

    @property
    def has_htpasswd(self) -> bool:
        """Whether users come from a file."""
        return bool(self.htpasswd.path)

    @property
    def has_openid(self) -> bool:
        """Whether there is a provider of logins that is known."""
        return self.openid is not None and not (OPENID_PROVIDERS | OAUTH2_PROVIDERS).isdisjoint(self.openid.providers)

    @property
    def has_basic(self) -> bool:
        """Whether there are users at all: by password, API key or login in the browser (zot's basic authn)."""
        return self.has_htpasswd or self.ldap is not None or self.has_openid or self.apikey

    @property
    def has_token_bearer(self) -> bool:
        """Whether classic bearer tokens are accepted."""
        bearer = self.bearer
        return bearer is not None and bool(
            bearer.realm and bearer.service and (bearer.cert or bearer.aws_secrets_manager)
        )

    @property
    def has_bearer(self) -> bool:
        """Whether bearer tokens of any kind are accepted."""
        return self.has_token_bearer or (self.bearer is not None and bool(self.bearer.oidc))

    @property
    def brings_groups(self) -> bool:
        """Whether a login, or an account for a machine, may bring groups that the configuration does not name."""
        return self.ldap is not None or self.has_openid or self.apikey or bool(self.bearer and self.bearer.oidc)

    @property
    def public_providers(self) -> Sequence[str]:
        """The providers at which everybody can have an account."""
        providers = self.openid.providers if self.openid is not None else {}
        return [
            name
            for name, provider in providers.items()
            if provider.issuer.rstrip("/") in PUBLIC_ISSUERS or (name in OAUTH2_PROVIDERS and not provider.auth_url)
        ]

    @property
    def session_driver_name(self) -> Literal["local", "redis"]:
        """Which driver keeps the sessions."""
        return "redis" if (self.session_driver or {}).get("name") == "redis" else "local"
