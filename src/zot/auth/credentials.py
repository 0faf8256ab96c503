"""The credentials of a request, independent of HTTP."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum

import msgspec

from zot.registry.errors import RegistryError, Unauthorized

# Longer than any password; a token with many groups still fits.
AUTHORIZATION_LENGTH_LIMIT = 16 << 10

# Docker clients send the encoded colon for "no user, no password".
_EMPTY_BASIC = "Og=="

# White space of HTTP (RFC 9110, 5.6.3), which is less than that of Unicode.
_BLANKS = " \t"


class ResourceClass(StrEnum):
    """Kinds of resources that authentication treats differently."""

    PING = "ping"
    """`/v2/`, where clients learn whether they have to log in."""
    REGISTRY = "registry"
    MANAGEMENT = "management"
    """`/v2/_zot/ext/mgmt`, exactly: the data of a login page."""
    METRICS = "metrics"
    PAGE = "page"
    """HTML, for which a browser sends its cookie but not the UI's header."""


class Credentials(msgspec.Struct, frozen=True):
    """Everything in a request that authentication looks at; only the certificate is verified yet, by TLS."""

    authorization: tuple[str, ...] = ()
    """The values of all Authorization headers."""
    session: str = ""
    """The value of the session cookie."""
    certificate: bytes | None = None
    """The client's certificate in DER, its chain verified."""
    from_ui: bool = False
    """Whether the client says that it is zot's UI, which uses session cookies and no browser dialogs."""
    same_origin: bool = True
    """False if the browser says that another site made the request."""
    method: str = "GET"
    resource: ResourceClass = ResourceClass.REGISTRY
    user_agent: str = ""
    address: str = ""

    @property
    def is_unsafe(self) -> bool:
        """Whether the method is unsafe (RFC 9110, 9.2.1): the request may change something."""
        return self.method not in {"GET", "HEAD", "OPTIONS"}


class Authorization(msgspec.Struct, frozen=True):
    """An Authorization header: its scheme in lower case, and its value."""

    scheme: str
    value: str


class Login(msgspec.Struct, frozen=True):
    """A user name with a password. `repr` shows the name alone."""

    name: str
    password: str
    encoded: str
    """Both in base64, as sent: the key by which caches know the login."""

    def __repr__(self) -> str:
        return f"Login({self.name!r})"


class RepeatedAuthorization(Unauthorized):
    """The request has several Authorization headers; the registry does not choose between them."""


class InvalidBearer(Unauthorized):
    """The bearer token is invalid or has expired: the client may get another (RFC 6750, 3.1)."""


class CrossOrigin(RegistryError):
    """Another site made a logged-in browser send an unsafe request."""

    code, status, message = "DENIED", 403, "requested access to the resource is denied"


def authorization(credentials: Credentials) -> Authorization | None:
    """Return the Authorization header, None if there is none or it is empty.

    Raises Unauthorized if there are several, or if the header is too long or not ASCII.
    """
    if len(credentials.authorization) > 1:
        raise RepeatedAuthorization("more than one Authorization header")
    header = credentials.authorization[0].strip(_BLANKS) if credentials.authorization else ""
    if len(header) > AUTHORIZATION_LENGTH_LIMIT:
        raise Unauthorized(f"the Authorization header has more than {AUTHORIZATION_LENGTH_LIMIT} characters")
    if not header.isascii():
        raise Unauthorized("the Authorization header is not ASCII")
    scheme, _, value = header.partition(" ")
    value = value.strip(_BLANKS)
    if not scheme or (scheme.lower() == "basic" and value == _EMPTY_BASIC):
        return None
    return Authorization(scheme.lower(), value)


def login(header: Authorization) -> Login:
    """Return the user name and password of a Basic header (RFC 7617).

    Raises Unauthorized if the header is of another scheme or malformed.
    """
    if header.scheme != "basic":
        raise Unauthorized("this registry accepts Basic credentials")
    try:
        text = base64.b64decode(header.value, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthorized("malformed Basic credentials") from None
    name, colon, password = text.partition(":")
    if not colon or not is_user_name(name):
        raise Unauthorized("malformed Basic credentials")
    return Login(name, password, header.value)


def is_user_name(text: str) -> bool:
    """Tell whether a client can log in with a password under this name."""
    return bool(text) and text.isprintable() and ":" not in text
