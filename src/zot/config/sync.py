"""`extensions.sync`: mirroring of images from other registries."""

from __future__ import annotations

from zot.config.durations import Seconds
from zot.config.section import Flag, Listed, Section, zot_key

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant (RFC 8693)


class TagsConfig(Section):
    """Filters of mirrored tags."""

    regex: str | None = zot_key("regex", None, doc="Mirror only matching tags.")
    exclude_regex: str | None = zot_key("excludeRegex", None, doc="Do not mirror matching tags.")
    semver: Flag | None = zot_key("semver", None, doc="Mirror only semantic versions.")


class ContentConfig(Section):
    """Repositories to mirror, and their local names."""

    prefix: str = zot_key("prefix", "", doc="Glob of upstream repositories; a leading `/` is ignored.")
    tags: TagsConfig | None = zot_key("tags", None, doc="Filters of tags, on demand too; absent: all tags.")
    destination: str = zot_key("destination", "", doc="Prefix of the local names.")
    strip_prefix: Flag = zot_key("stripPrefix", False, doc="Remove the fixed part of `prefix` from the local names.")


class OAuth2CredentialHelper(Section):
    """Exchange of an assertion for a token of the upstream registry."""

    token_url: str = zot_key("tokenURL", "", doc="Token endpoint. Mandatory.")
    assertion_file: str = zot_key("assertionFile", "", doc="File with a signed assertion, read at each refresh.")
    signing_file: str = zot_key("signingFile", "", doc="File with a key and claims to sign assertions with.")
    grant_type: str = zot_key(
        "grantType", "", doc="`client_credentials` (default), or the URN of the jwt-bearer or token-exchange grant."
    )
    client_id: str = zot_key("clientID", "", doc="Client id.")
    client_secret_file: str = zot_key("clientSecretFile", "", doc="File with the client secret.")
    scopes: Listed[str] = zot_key("scopes", (), doc="Scopes to request.")
    username: str = zot_key("username", "", doc="User name sent with the token. Default: `<token>`.")
    audience: str = zot_key("audience", "", doc="Token exchange: audience of the token. Mandatory there.")
    subject_token_type: str = zot_key("subjectTokenType", "", doc="Token exchange: type of the assertion, a URI.")
    requested_token_type: str = zot_key("requestedTokenType", "", doc="Token exchange: requested type, a URI.")


class SyncRegistryConfig(Section):
    """An upstream registry."""

    urls: Listed[str] = zot_key("urls", (), doc="URLs of the registry and of its mirrors, tried in order.")
    on_demand: Flag = zot_key("onDemand", False, doc="Fetch images when a client requests them.")
    poll_interval_s: Seconds = zot_key(
        "pollInterval", 0.0, doc="Interval between periodic synchronizations; 0: none. Needs `content`."
    )
    content: Listed[ContentConfig] = zot_key("content", (), doc="Repositories to mirror.")
    tls_verify: Flag = zot_key("tlsVerify", True, doc="Verify the registry's certificate.")
    cert_dir: str = zot_key(
        "certDir", "", doc="Directory with CAs (`.crt`) and a client certificate (`.cert`, `.key`)."
    )
    max_retries: int | None = zot_key(
        "maxRetries", None, doc="Attempts to go on with a download that broke. Default: 3."
    )
    retry_delay_s: Seconds | None = zot_key(
        "retryDelay", None, doc="Delay before an attempt, on demand at most 5s. Mandatory with `maxRetries`."
    )
    max_retry_delay_s: Seconds | None = zot_key(
        "maxRetryDelay", None, doc="Longest delay before a retry. Default: that of `retryDelay`."
    )
    only_signed: Flag | None = zot_key("onlySigned", None, doc="Mirror only signed images.")
    sync_legacy_cosign_tags: Flag = zot_key(
        "syncLegacyCosignTags", True, doc="Mirror cosign's `sha256-….sig` and `.sbom` tags too."
    )
    credential_helper: str = zot_key("credentialHelper", "", doc="Source of credentials: `ecr`, `gcp` or `oauth2`.")
    oauth2_credential_helper: OAuth2CredentialHelper | None = zot_key(
        "oauth2CredentialHelper", None, doc="Parameters of the `oauth2` helper."
    )
    preserve_digest: Flag = zot_key(
        "preserveDigest", False, doc="Do not convert Docker manifests. Needs `http.compat`."
    )
    manifest_check_interval_s: Seconds | None = zot_key(
        "manifestCheckInterval",
        None,
        doc="On demand: age at which a tag is checked against upstream; 0: at each pull. Default: 60s.",
    )
    sync_timeout_s: Seconds = zot_key("syncTimeout", 10800.0, doc="Longest duration of one download.")
    req_concurrent: int | None = zot_key(
        "reqConcurrent", None, doc="Concurrent downloads from a host, and as many other requests. Default: 16."
    )
    req_per_sec: float | None = zot_key("reqPerSec", None, doc="Requests a second to a host. Default: no limit.")
    disable_http2: Flag | None = zot_key("disableHTTP2", None, doc="Accepted; HTTP/1.1 is always used.")
    max_idle_conns_per_host: int | None = zot_key(
        "maxIdleConnsPerHost", None, doc="Idle connections to a host. Default: that of `reqConcurrent`."
    )


class SyncConfig(Section):
    """Mirroring of images from other registries."""

    enable: Flag = zot_key("enable", True, doc="Whether images are mirrored.")
    credentials_file: str = zot_key(
        "credentialsFile", "", doc='File with `{"HOST": {"username", "password"}}` for upstream registries.'
    )
    download_dir: str = zot_key(
        "downloadDir", "", doc="Directory for running downloads. Mandatory with an object store."
    )
    registries: Listed[SyncRegistryConfig] = zot_key("registries", (), doc="The upstream registries.")
