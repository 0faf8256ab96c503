"""The authenticated client of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from zot.auth.scopes import ApiKeyScope


class Principal(msgspec.Struct, frozen=True):
    """A user or workload that an authenticator has verified; `ANONYMOUS` is a client without credentials."""

    name: str
    method: str
    """The authentication method: htpasswd, ldap, apikey, openid, session, mtls, bearer, oidc (a workload), none."""
    groups: frozenset[str] = frozenset()
    """The groups from the authentication method; the policy adds those of the configuration."""
    claims: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """The verified claims of a token, for conditions."""
    scopes: tuple[ApiKeyScope, ...] | None = None
    """The scopes that limit the credentials; None: no limit."""

    token_owner: Principal | None = None
    """With a token of this registry: the client that got it, without the token's limits."""
    lists_catalog: bool = False
    """Whether such a token allows listing repositories: the list shows what `token_owner` may read."""

    @property
    def authenticated(self) -> bool:
        """Whether the client is not anonymous."""
        return self.method != "none"

    @property
    def authorized_elsewhere(self) -> bool:
        """Whether a token server has authorized the client: its scopes replace access control."""
        return self.method == "bearer"

    @property
    def limited(self) -> bool:
        """Whether the credentials give fewer rights than their owner has; they never make an administrator."""
        return self.scopes is not None or self.authorized_elsewhere

    @property
    def is_full_user(self) -> bool:
        """Whether the client is a user of this registry, with all rights of the user."""
        return self.authenticated and not self.limited


ANONYMOUS = Principal(name="", method="none")
