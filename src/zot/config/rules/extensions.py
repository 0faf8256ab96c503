"""Rules of `extensions`."""

from __future__ import annotations

import math
import posixpath
from typing import TYPE_CHECKING

from zot.config.errors import ConfigProblem, ConfigWarning, Finding
from zot.config.rules import events as event_rules
from zot.config.rules import patterns as pattern_rules
from zot.config.rules.storage import stores
from zot.config.sync import TOKEN_EXCHANGE
from zot.config.urls import split_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zot.config.extensions import MetricsConfig
    from zot.config.model import Config
    from zot.config.storage import RetentionPolicyConfig, StorageConfig
    from zot.config.sync import ContentConfig, OAuth2CredentialHelper, SyncRegistryConfig

CREDENTIAL_HELPERS = ("ecr", "gcp", "oauth2")
# Paths of other endpoints, which the metrics must not hide.
RESERVED_PATHS = ("/", "/livez", "/readyz", "/startupz", "/v2", "/v2/_catalog", "/v2/_oci/ext/discover")
SBOM_FORMATS = ("spdx-json", "cyclonedx")


def sync(config: Config) -> Iterator[Finding]:
    """Check each upstream registry."""
    settings = config.extensions.sync
    for i, registry in enumerate(settings.registries if settings else ()):
        path = f"extensions.sync.registries[{i}]"
        yield from _retries(registry, path)
        yield from _request_limits(registry, path)
        if registry.credential_helper == "oauth2":
            for reason in _oauth2_problems(registry.oauth2_credential_helper):
                yield ConfigProblem(
                    f"invalid oauth2CredentialHelper config: {reason}", f"{path}.oauth2CredentialHelper"
                )
        if registry.preserve_digest and not config.http.compat:
            text = "can not use PreserveDigest option without enabling http.Compat"
            yield ConfigProblem(text, f"{path}.preserveDigest")
        for j, content in enumerate(registry.content):
            yield from _content(content, f"{path}.content[{j}]")
            yield from _overlap(config.storage, content, f"{path}.content[{j}]")


def _retries(registry: SyncRegistryConfig, path: str) -> Iterator[Finding]:
    interval_s = registry.manifest_check_interval_s or 0
    if interval_s < 0:
        yield ConfigProblem("manifestCheckInterval cannot be negative", f"{path}.manifestCheckInterval")
    if interval_s > 0 and not registry.on_demand:
        yield ConfigProblem("manifestCheckInterval requires onDemand to be enabled", f"{path}.manifestCheckInterval")
    delay_s, longest_s = registry.retry_delay_s, registry.max_retry_delay_s
    if registry.max_retries is not None and delay_s is None:
        yield ConfigProblem("retryDelay is required when using maxRetries", f"{path}.retryDelay")
    if longest_s is not None and delay_s is None:
        yield ConfigProblem("retryDelay is required when using maxRetryDelay", f"{path}.retryDelay")
    if longest_s is not None and delay_s is not None and longest_s < delay_s:
        yield ConfigProblem("maxRetryDelay must be greater than or equal to retryDelay", f"{path}.maxRetryDelay")


def _request_limits(registry: SyncRegistryConfig, path: str) -> Iterator[Finding]:
    if registry.req_concurrent is not None and registry.req_concurrent <= 0:
        yield ConfigProblem("reqConcurrent must be greater than 0", f"{path}.reqConcurrent")
    rate = registry.req_per_sec
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        yield ConfigProblem("reqPerSec must be a finite value greater than 0", f"{path}.reqPerSec")
    if registry.max_idle_conns_per_host is not None and registry.max_idle_conns_per_host <= 0:
        yield ConfigProblem("maxIdleConnsPerHost must be greater than 0", f"{path}.maxIdleConnsPerHost")


def _oauth2_problems(helper: OAuth2CredentialHelper | None) -> Iterator[str]:
    prefix = "oauth2 credential helper "
    if helper is None:
        yield prefix + "requires an oauth2CredentialHelper config"
        return
    if not helper.token_url.strip():
        yield prefix + "requires a tokenURL"
    assertion, signing = helper.assertion_file.strip(), helper.signing_file.strip()
    if not assertion and not signing:
        yield prefix + "requires an assertionFile or a signingFile"
    if assertion and signing:
        yield prefix + "allows only assertionFile or signingFile"
    types = [kind for kind in (helper.subject_token_type, helper.requested_token_type) if kind.strip()]
    if helper.grant_type != TOKEN_EXCHANGE:
        if helper.audience.strip() or types:
            yield (
                f"{prefix}allows audience, subjectTokenType and requestedTokenType only when grantType is "
                f"{TOKEN_EXCHANGE}"
            )
        return
    if not helper.audience.strip():
        yield f"{prefix}requires an audience when grantType is {TOKEN_EXCHANGE}"
    if not all(map(split_url, types)):
        yield prefix + "requires subjectTokenType and requestedTokenType to be absolute URIs"


def _content(content: ContentConfig, path: str) -> Iterator[Finding]:
    yield from pattern_rules.globs([content.prefix], f"{path}.prefix", "sync prefix could not be compiled")
    tags = content.tags
    if tags is not None and tags.regex is not None:
        text = "sync content regex could not be compiled"
        yield from pattern_rules.regexes([tags.regex], f"{path}.tags.regex", text)
    if tags is not None and tags.exclude_regex is not None:
        text = "sync content excludeRegex could not be compiled"
        yield from pattern_rules.regexes([tags.exclude_regex], f"{path}.tags.excludeRegex", text)
    if content.strip_prefix and content.destination == "/" and "/*" not in content.prefix:
        text = "can not use stripPrefix true and destination '/' without using glob patterns in prefix"
        yield ConfigProblem(text, f"{path}.prefix")


def _overlap(storage: StorageConfig, content: ContentConfig, path: str) -> Iterator[Finding]:
    """Warn of a retention policy for mirrored images: it may delete images that are then mirrored again."""
    local = content.prefix
    if content.destination:
        remote = content.prefix.strip("/")
        if content.strip_prefix:
            remote = remote.removeprefix(content.prefix.strip("/*"))
        local = f"{content.destination.strip('/')}/{remote.strip('/')}".strip("/")
    policy = _policy_of(storage, local)
    if policy is None:
        return
    regex = content.tags.regex if content.tags else None
    if regex is None or not any(regex in rule.patterns for rule in policy.keep_tags):
        yield ConfigWarning(
            f"a retention policy for {local} may delete mirrored images, which are then fetched again", path
        )


def _policy_of(storage: StorageConfig, pattern: str) -> RetentionPolicyConfig | None:
    routes = ["", *(f"{route[1:]}/" for route in storage.sub_paths)]
    for route, (_, store) in zip(routes, stores(storage), strict=True):
        for policy in store.retention.policies:
            if any(route + repository == pattern for repository in policy.repositories):
                return policy
    return None


def extensions(config: Config) -> Iterator[Finding]:
    """Check dependencies of extensions on each other and on the storage."""
    settings = config.extensions
    if settings.mgmt is not None:
        yield ConfigWarning("ignored: enabled with extensions.search", "extensions.mgmt")
    if settings.apikey is not None:
        yield ConfigWarning("ignored: API keys are enabled by http.auth.apikey", "extensions.apikey")
    if settings.metrics is not None:
        yield from _metrics_path(settings.metrics)
    if settings.ui_enabled and not settings.search_enabled:
        yield ConfigProblem(
            "failed to enable ui, search extension must be enabled", "extensions.search", "enable: true"
        )
    if settings.scan_enabled and any(store.storage_driver for _, store in stores(config.storage)):
        text = "failed to enable cve scanning due to incompatibility with remote storage, please disable cve"
        yield ConfigProblem(text, "extensions.search.cve")


def _metrics_path(metrics: MetricsConfig) -> Iterator[Finding]:
    path, key = metrics.prometheus.path, "extensions.metrics.prometheus.path"
    if path != posixpath.normpath(path) or path.startswith("//"):
        yield ConfigProblem("invalid metrics path", key, "a path without empty, . or .. components")
    elif not path.startswith("/"):
        yield ConfigProblem("metrics path must start with /", key)
    elif path in RESERVED_PATHS or path.startswith("/zot/auth/"):
        yield ConfigProblem("provided metrics path is disallowed", key)


def own_checks(config: Config) -> Iterator[Finding]:
    """Check what zot does not check, or checks only at start."""
    settings = config.extensions
    for i, registry in enumerate(settings.sync.registries if settings.sync else ()):
        path = f"extensions.sync.registries[{i}]"
        if not registry.urls:
            yield ConfigProblem("an upstream registry needs at least one URL", f"{path}.urls")
        if registry.credential_helper and registry.credential_helper not in CREDENTIAL_HELPERS:
            helpers = ", ".join(CREDENTIAL_HELPERS)
            yield ConfigWarning(f"unknown helper {registry.credential_helper!r}, ignored: use one of {helpers}", path)
        if registry.poll_interval_s and not registry.content:
            yield ConfigWarning("ignored: without content there is nothing to synchronize", f"{path}.pollInterval")
    if settings.search is not None and settings.search.cve is not None:
        sbom = settings.search.cve.trivy.sbom
        if sbom.format not in SBOM_FORMATS:
            yield ConfigWarning(
                f"unknown format {sbom.format!r}: spdx-json is used", "extensions.search.cve.trivy.sbom.format"
            )
    if settings.events is not None:
        yield from event_rules.sinks(settings.events)
