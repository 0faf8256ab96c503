"""Names of headers, as `istr`: the fastest to look up and to set."""

from __future__ import annotations

from multidict import istr

ACCEPT_RANGES = istr("Accept-Ranges")
AUTHORIZATION = istr("Authorization")
CACHE_CONTROL = istr("Cache-Control")
CONNECTION = istr("Connection")
CONTENT_DIGEST = istr("Docker-Content-Digest")
CONTENT_LENGTH = istr("Content-Length")
CONTENT_SECURITY_POLICY = istr("Content-Security-Policy")
CONTENT_TYPE = istr("Content-Type")
CONTENT_TYPE_OPTIONS = istr("X-Content-Type-Options")
ETAG = istr("ETag")
IF_NONE_MATCH = istr("If-None-Match")
IF_RANGE = istr("If-Range")
LOCATION = istr("Location")
ORIGIN = istr("Origin")
RANGE = istr("Range")
REQUEST_ID = istr("X-Request-Id")
SEC_FETCH_SITE = istr("Sec-Fetch-Site")
SERVER = istr("Server")
TRANSFER_ENCODING = istr("Transfer-Encoding")
USER_AGENT = istr("User-Agent")
VERSION = istr("Docker-Distribution-API-Version")
