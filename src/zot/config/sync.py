"""`extensions.sync`: images mirrored from other registries."""

from __future__ import annotations

from zot.config.durations import Seconds
from zot.config.section import Flag, Listed, Section, zot_key

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant (RFC 8693)


class TagsConfig(Section):
    """Which tags are mirrored."""

    regex: str | None = zot_key("regex", None, doc="Only tags that match.")
    exclude_regex: str | None = zot_key("excludeRegex", None, doc="No tags that match.")
    semver: Flag | None = zot_key("semver", None, doc="Only semantic versions.")


class ContentConfig(Section):
    """Which repositories are mirrored, and what they are called here."""

    prefix: str = zot_key("prefix", "", doc="Glob of upstream repositories; a leading `/` does not count.")
    tags: TagsConfig | None = zot_key("tags", None, doc="Which tags; absent: all.")
    destination: str = zot_key("destination", "", doc="Local path in front of the repository's name.")
    strip_prefix: Flag = zot_key("stripPrefix", False, doc="Leave the fixed part of `prefix` out of the local name.")


class OAuth2CredentialHelper(Section):
    """An assertion that is exchanged for a token of the upstream registry."""

    token_url: str = zot_key("tokenURL", "", doc="Token endpoint. Mandatory.")
    assertion_file: str = zot_key("assertionFile", "", doc="File of a signed assertion, read at each refresh.")
    signing_file: str = zot_key("signingFile", "", doc="File of a key and claims by which assertions are signed here.")
    grant_type: str = zot_key(
        "grantType", "", doc="`client_credentials` (default), or the URN of the jwt-bearer or token-exchange grant."
    )
    client_id: str = zot_key("clientID", "", doc="Client id.")
    client_secret_file: str = zot_key("clientSecretFile", "", doc="File of the client secret.")
    scopes: Listed[str] = zot_key("scopes", (), doc="Scopes to ask for.")
    username: str = zot_key("username", "", doc="User name that goes with the token. Default: `<token>`.")
    audience: str = zot_key("audience", "", doc="Token exchange: target of the token. Mandatory there.")
    subject_token_type: str = zot_key("subjectTokenType", "", doc="Token exchange: type of the assertion, a URI.")
    requested_token_type: str = zot_key("requestedTokenType", "", doc="Token exchange: type asked for, a URI.")


class SyncRegistryConfig(Section):
    """One upstream registry."""

    urls: Listed[str] = zot_key("urls", (), doc="URLs of the registry and of its mirrors, tried in order.")
    on_demand: Flag = zot_key("onDemand", False, doc="Fetch what a client asks for and is not here.")
    poll_interval_s: Seconds = zot_key(
        "pollInterval", 0.0, doc="Time from one periodic synchronization to the next; 0: none. Needs `content`."
    )
    content: Listed[ContentConfig] = zot_key("content", (), doc="What is mirrored.")
    tls_verify: Flag = zot_key("tlsVerify", True, doc="Verify the registry's certificate.")
    cert_dir: str = zot_key("certDir", "", doc="Directory with `.crt` authorities, and a `.cert` and `.key` pair.")
    max_retries: int | None = zot_key("maxRetries", None, doc="How often a failed request is tried again.")
    retry_delay_s: Seconds | None = zot_key("retryDelay", None, doc="Wait before a retry. Mandatory with `maxRetries`.")
    max_retry_delay_s: Seconds | None = zot_key(
        "maxRetryDelay", None, doc="Longest wait before a retry. Default: that of `retryDelay`."
    )
    only_signed: Flag | None = zot_key("onlySigned", None, doc="Mirror signed images only.")
    sync_legacy_cosign_tags: Flag = zot_key(
        "syncLegacyCosignTags", True, doc="Mirror cosign's `sha256-….sig` and `.sbom` tags too."
    )
    credential_helper: str = zot_key(
        "credentialHelper", "", doc="`ecr`, `gcp` or `oauth2`: where credentials come from."
    )
    oauth2_credential_helper: OAuth2CredentialHelper | None = zot_key(
        "oauth2CredentialHelper", None, doc="Parameters of the `oauth2` helper."
    )
    preserve_digest: Flag = zot_key(
        "preserveDigest", False, doc="Keep Docker manifests as they are. Needs `http.compat`."
    )
    manifest_check_interval_s: Seconds = zot_key(
        "manifestCheckInterval", 0.0, doc="On demand: how long a local manifest is served before upstream is asked."
    )
    sync_timeout_s: Seconds = zot_key("syncTimeout", 10800.0, doc="Longest duration of one synchronization.")
    req_concurrent: int | None = zot_key("reqConcurrent", None, doc="Requests at once to a host. Default: 3.")
    req_per_sec: float | None = zot_key("reqPerSec", None, doc="Requests a second to a host. Default: no limit.")
    disable_http2: Flag | None = zot_key("disableHTTP2", None, doc="Use HTTP/1.1, as is always done here.")
    max_idle_conns_per_host: int | None = zot_key(
        "maxIdleConnsPerHost", None, doc="Connections kept open to a host. Default: that of `reqConcurrent`."
    )


class SyncConfig(Section):
    """Images mirrored from other registries."""

    enable: Flag = zot_key("enable", True, doc="Whether images are mirrored.")
    credentials_file: str = zot_key(
        "credentialsFile", "", doc='File with `{"HOST": {"username", "password"}}` for upstream registries.'
    )
    download_dir: str = zot_key(
        "downloadDir", "", doc="Directory for images under way. Mandatory with an object store."
    )
    registries: Listed[SyncRegistryConfig] = zot_key("registries", (), doc="The upstream registries.")
