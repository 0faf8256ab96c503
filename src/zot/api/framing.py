"""Errors of messages with an unsupported version or framing (RFC 9110, RFC 9112)."""

from __future__ import annotations

import re

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.http import RawRequestMessage

from zot.api.headers import TRANSFER_ENCODING
from zot.registry.errors import RegistryError

_VERSION = re.compile(r" HTTP/(\d\.\d)(?!\d)")
# The parser's messages for an unknown last transfer coding, and for the start of HTTP/2.
_UNKNOWN_CODING = "Request has invalid `Transfer-Encoding`"
_HTTP2_PREFACE = "Pause on PRI/Upgrade"


class BadRequest(RegistryError):
    """The bytes are not an acceptable HTTP request."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


class VersionNotSupported(RegistryError):
    """The message has a version of HTTP that the server does not support."""

    code, status, message = "UNSUPPORTED", 505, "HTTP version not supported: use HTTP/1.1"


class CodingNotSupported(RegistryError):
    """The message has a transfer coding that the server does not support."""

    code, status, message = "UNSUPPORTED", 501, "transfer coding not supported: use chunked"


def framing_fault(message: RawRequestMessage) -> RegistryError | None:
    """Return why a parsed message cannot be served, None if it can."""
    if message.version not in {HttpVersion10, HttpVersion11}:
        return VersionNotSupported()
    header = message.headers.get(TRANSFER_ENCODING)
    if header is None:
        return None
    codings = [coding for each in header.split(",") if (coding := each.strip().lower())]
    if any(coding != "chunked" for coding in codings):
        return CodingNotSupported()
    return None if len(codings) == 1 else BadRequest("Transfer-Encoding names chunked once")


def bad_request(reason: str) -> RegistryError:
    """Return the error of bytes that the parser refused, by the reason that it gave."""
    lines = reason.splitlines() or ["malformed HTTP"]
    version = _VERSION.search(reason)
    if lines[0].startswith(_HTTP2_PREFACE) or (version is not None and version[1] not in {"1.0", "1.1"}):
        return VersionNotSupported()
    if lines[0].startswith(_UNKNOWN_CODING):
        return CodingNotSupported()
    return BadRequest(lines[0][:200])
