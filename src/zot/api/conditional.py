"""Conditional requests (RFC 9110, section 13): content is immutable by digest, so the digest is its entity tag."""

from __future__ import annotations

from zot.api.headers import IF_NONE_MATCH, IF_RANGE
from zot.api.http_request import HttpRequest
from zot.oci.digest import Digest


def entity_tag(digest: Digest) -> str:
    """Return the strong entity tag of content with this digest."""
    return f'"{digest}"'


def is_current(http: HttpRequest, digest: Digest) -> bool:
    """Tell whether the client says that it has this content already (If-None-Match): 304."""
    header = http.headers.get(IF_NONE_MATCH)
    if header is None:
        return False
    tags = {each.strip().removeprefix("W/") for each in header.split(",")}
    return entity_tag(digest) in tags or "*" in tags


def range_applies(http: HttpRequest, digest: Digest) -> bool:
    """Tell whether a Range header counts: it does unless If-Range names other content."""
    header = http.headers.get(IF_RANGE)
    return header is None or header.strip() == entity_tag(digest)
