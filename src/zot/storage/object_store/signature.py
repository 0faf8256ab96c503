"""Signatures of requests to S3 (AWS Signature Version 4), for the requests that the S3 library does not have.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

_PAYLOAD = "UNSIGNED-PAYLOAD"


class S3Credentials(NamedTuple):
    """Credentials for S3; the token belongs to temporary ones."""

    access_key: str
    secret_key: str
    token: str | None = None


class S3Request(NamedTuple):
    """A request before it is signed. Path and query have no escapes; header names are in lower case."""

    method: str
    host: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}

    @property
    def target(self) -> str:
        """Return the path and query as they are sent, with escapes."""
        query = _query(self.query)
        return f"{quote(self.path, safe='/~')}?{query}" if query else quote(self.path, safe="/~")


def signed_headers(request: S3Request, credentials: S3Credentials, region: str, now_s: float) -> dict[str, str]:
    """Return the headers of a request with its signature, which the server accepts for 15 minutes.

    The body is not signed: its integrity is that of the connection.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    headers = {**request.headers, "host": request.host, "x-amz-content-sha256": _PAYLOAD, "x-amz-date": moment}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = sorted(headers)
    canonical = "\n".join(
        (
            request.method,
            quote(request.path, safe="/~"),
            _query(request.query),
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            _PAYLOAD,
        )
    )
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}".encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return headers


def _query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))
