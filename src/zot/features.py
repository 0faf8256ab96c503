"""What of the configuration this build has: a key that asks for anything else is refused at start."""

from __future__ import annotations

BUILT = frozenset(
    {
        "storage.maxRepos",
        "storage.quotas",
        "storage.readOnly",
        "http.tls",
        "http.ratelimit",
        "http.unixSocket",
        "log.audit",
        "extensions.metrics",
        "scheduler",
    }
)
"""Entries of `zot.config.supported.FEATURES`."""
