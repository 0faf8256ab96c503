"""What a request brings to say who is asking, apart from HTTP."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum

import msgspec

from zot.registry.errors import RegistryError, Unauthorized

# Longer than any password; a token with many groups still fits.
AUTHORIZATION_LENGTH_LIMIT = 16 << 10

# What Docker clients send for "no user, no password": the colon alone.
_EMPTY_BASIC = "Og=="

# What HTTP takes for white space (RFC 9110, 5.6.3), which is less than Unicode does.
_BLANKS = " \t"


class ResourceClass(StrEnum):
    """What kind of resource is asked for, as far as it matters to who is let in."""

    PING = "ping"
    """`/v2/`, by which clients find out whether they have to log in."""
    REGISTRY = "registry"
    MANAGEMENT = "management"
    """`/v2/_zot/ext/mgmt`, exactly: what a login page shows."""
    METRICS = "metrics"
    PAGE = "page"
    """HTML, where a browser sends a cookie and no headers of ours."""


class Credentials(msgspec.Struct, frozen=True):
    """All of it. Nothing here is believed yet but the client certificate, which TLS verified."""

    authorization: tuple[str, ...] = ()
    """The values of all Authorization headers."""
    session: str = ""
    """The value of the session cookie."""
    certificate: bytes | None = None
    """The client's certificate in DER, its chain verified."""
    from_ui: bool = False
    """Whether the client says that it is zot's UI: it then wants cookies, and no browser dialogs."""
    same_origin: bool = True
    """Whether no browser says that another site made the request."""
    method: str = "GET"
    door: ResourceClass = ResourceClass.REGISTRY
    user_agent: str = ""
    address: str = ""

    @property
    def changes(self) -> bool:
        """Whether the request is meant to change something."""
        return self.method not in {"GET", "HEAD", "OPTIONS"}


class Authorization(msgspec.Struct, frozen=True):
    """An Authorization header: its scheme in lower case, and the rest."""

    scheme: str
    value: str


class Login(msgspec.Struct, frozen=True):
    """A user name with a password. Its text is the name alone."""

    name: str
    password: str
    sent: str
    """Both as they were sent, encoded: what a login is known again by without decoding it."""

    def __repr__(self) -> str:
        return f"Login({self.name!r})"


class RepeatedAuthorization(Unauthorized):
    """Two headers: which of them would be believed is not ours to guess."""


class InvalidBearer(Unauthorized):
    """A bearer token that does not count, or not any more: another one may be had (RFC 6750, section 3.1)."""


class CrossOrigin(RegistryError):
    """Another site made a logged-in browser ask for a change."""

    code, status, message = "DENIED", 403, "requested access to the resource is denied"


def authorization(credentials: Credentials) -> Authorization | None:
    """Return the one Authorization header, None if there is none or it says nothing.

    Raises Unauthorized if there are several, or if it is longer than any that could be right or has other characters.
    """
    if len(credentials.authorization) > 1:
        raise RepeatedAuthorization("more than one Authorization header")
    header = credentials.authorization[0].strip(_BLANKS) if credentials.authorization else ""
    if len(header) > AUTHORIZATION_LENGTH_LIMIT:
        raise Unauthorized(f"the Authorization header has more than {AUTHORIZATION_LENGTH_LIMIT} characters")
    if not header.isascii():
        raise Unauthorized("the Authorization header has characters that no credentials have")
    scheme, _, value = header.partition(" ")
    value = value.strip(_BLANKS)
    if not scheme or (scheme.lower() == "basic" and value == _EMPTY_BASIC):
        return None
    return Authorization(scheme.lower(), value)


def login(header: Authorization) -> Login:
    """Return the user name and password of a Basic header (RFC 7617); raise Unauthorized if it is malformed."""
    if header.scheme != "basic":
        raise Unauthorized("this registry takes Basic credentials")
    try:
        text = base64.b64decode(header.value, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthorized("malformed Basic credentials") from None
    name, colon, password = text.partition(":")
    if not colon or not names_user(name):
        raise Unauthorized("malformed Basic credentials")
    return Login(name, password, header.value)


def names_user(text: str) -> bool:
    """Tell whether somebody who is called so can log in with a password."""
    return bool(text) and text.isprintable() and ":" not in text
