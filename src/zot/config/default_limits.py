"""Defaults of the limits in `http.limits`, for the keys and for parts built without a configuration."""

from __future__ import annotations

from typing import Final

MANIFEST_BYTES: Final = 4 * 1024 * 1024
"""`http.limits.maxManifestBytes`; manifests up to this size stay readable if the key is smaller."""
HEADER_BYTES: Final = 32 * 1024
"""`http.limits.maxHeaderBytes`: of the request line, and of each header field."""
PAGE_ENTRIES: Final = 1000
"""`http.limits.maxPageSize`."""
UPLOADS_PER_REPOSITORY: Final = 1000
"""`http.limits.maxUploadsPerRepository`."""
BYTES_PER_S: Final = 1024
"""`http.limits.minBytesPerSecond`."""
HEADER_TIMEOUT_S: Final = 5.0
"""`http.limits.headerTimeout`."""
IDLE_TIMEOUT_S: Final = 120.0
"""`http.limits.idleTimeout`."""
