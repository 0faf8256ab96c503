"""Who is asking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """Somebody as an authenticator established them; `ANONYMOUS` is whoever did not say."""

    name: str
    method: str
    """How it was established: htpasswd, ldap, apikey, session, mtls, bearer, oidc, none."""
    groups: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """The verified claims of a token, for conditions."""

    @property
    def authenticated(self) -> bool:
        """Whether it is known who they are."""
        return self.method != "none"


ANONYMOUS = Principal(name="", method="none")
