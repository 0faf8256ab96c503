"""What of the configuration this build has: a key that asks for anything else is refused at start."""

from __future__ import annotations

BUILT = frozenset(
    {
        "storage.gc",
        "storage.maxRepos",
        "storage.quotas",
        "storage.readOnly",
        "storage.retention",
        "http.accessControl",
        "http.accessControl.immutableTags",
        "http.auth.apikey",
        "http.auth.bearer",
        "http.auth.bearer.awsSecretsManager",
        "http.auth.bearer.oidc",
        "http.auth.bearer.upstreamTokenEndpoint",
        "http.auth.failDelay",
        "http.auth.htpasswd",
        "http.auth.ldap",
        "http.auth.mtls",
        "http.auth.openid",
        "http.auth.sessionDriver.name=redis",
        "http.tls",
        "http.ratelimit",
        "http.unixSocket",
        "log.audit",
        "extensions.metrics",
        "extensions.scrub",
        "scheduler",
    }
)
"""Entries of `zot.config.supported.FEATURES`."""
