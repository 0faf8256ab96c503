"""The messages between the server and its LDAP processes, each a line of JSON."""

from __future__ import annotations

import msgspec


class LdapSettings(msgspec.Struct, frozen=True):
    """How to connect to the directory and how to search it."""

    url: str
    start_tls: bool
    verify: bool
    ca_cert: str
    bind_dn: str
    """The entry that the search binds as; empty: anonymous."""
    bind_password: str
    base_dn: str
    user_attribute: str
    user_filter: str
    group_attribute: str
    subtree: bool
    step_limit_s: float
    """The timeout of a connection, a search or a bind, as far as the library respects it."""


class LdapLogin(msgspec.Struct, frozen=True):
    """A login to verify. Its password is not empty: a bind without one always succeeds (RFC 4513, 5.1.2)."""

    name: str
    password: str


class LdapResult(msgspec.Struct, frozen=True):
    """The result of a login."""

    known: bool = False
    groups: tuple[str, ...] = ()
    error: str = ""
    """Why the directory could not be used; then it is not known whether the password is right."""
    hint: str = ""
    """A warning for the operator."""
