"""Who is asking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from zot.auth.scopes import ApiKeyScope


class Principal(msgspec.Struct, frozen=True):
    """Somebody as an authenticator established them; `ANONYMOUS` is whoever did not say."""

    name: str
    method: str
    """How it was established: htpasswd, ldap, apikey, openid, session, mtls, bearer, oidc (a workload), none."""
    groups: frozenset[str] = frozenset()
    """The groups that came with the proof of identity; those of the configuration are the policy's to add."""
    claims: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """The verified claims of a token, for conditions."""
    scopes: tuple[ApiKeyScope, ...] | None = None
    """What the credentials are limited to; None: nothing is left out."""

    whole: Principal | None = None
    """With a token of this registry: who got it, with all that they may do without the token's limits."""
    lists: bool = False
    """Whether such a token is good for the catalog: the list shows what `whole` may read."""

    @property
    def authenticated(self) -> bool:
        """Whether it is known who they are."""
        return self.method != "none"

    @property
    def authorized_elsewhere(self) -> bool:
        """Whether a token server decided what they may do: their scopes then stand in place of access control."""
        return self.method == "bearer"

    @property
    def limited(self) -> bool:
        """Whether the credentials stand for less than whoever they belong to: never for an administrator."""
        return self.scopes is not None or self.authorized_elsewhere


ANONYMOUS = Principal(name="", method="none")
