"""What the server and its LDAP processes say to each other, a line of JSON each."""

from __future__ import annotations

import msgspec


class LdapSettings(msgspec.Struct, frozen=True):
    """How to reach the directory and whom to find in it."""

    url: str
    start_tls: bool
    verify: bool
    ca_cert: str
    bind_dn: str
    """Who asks the directory; empty: nobody in particular."""
    bind_password: str
    base_dn: str
    user_attribute: str
    user_filter: str
    group_attribute: str
    subtree: bool
    step_limit_s: float
    """How long a connection, a search or a bind may take, as far as the library heeds it."""


class LdapLogin(msgspec.Struct, frozen=True):
    """A login to be verified. The password is not empty: a bind without one always succeeds (RFC 4513, 5.1.2)."""

    name: str
    password: str


class LdapResult(msgspec.Struct, frozen=True):
    """What the directory says to it."""

    known: bool = False
    groups: tuple[str, ...] = ()
    error: str = ""
    """Why the directory could not be asked; then nothing is known."""
    hint: str = ""
    """What its operator should know about the login."""
