"""The users and groups of a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zot.auth.principal import Principal
from zot.config.access_control import GroupConfig


class Subjects:
    """The users and groups that a rule names.

    A group may come from the configuration or from the authentication method. Configuration keys are read in lower
    case, so configured groups match without regard to case; the others match exactly.
    """

    def __init__(self, users: Iterable[str], groups: Iterable[str], configured: Mapping[str, GroupConfig]) -> None:
        """Keep the names as written; `configured` are the groups of the configuration."""
        self.users = frozenset(users)
        self.groups = frozenset(groups)
        self.configured = frozenset(name.lower() for name in self.groups) & configured.keys()

    def include(self, principal: Principal, configured: frozenset[str]) -> bool:
        """Tell whether the rule names the principal; `configured` are its groups in the configuration."""
        return principal.authenticated and (
            principal.name in self.users
            or not self.groups.isdisjoint(principal.groups)
            or not self.configured.isdisjoint(configured)
        )


class GroupMemberships:
    """The groups of the configuration, by user."""

    def __init__(self, configured: Mapping[str, GroupConfig]) -> None:
        by_user: dict[str, set[str]] = {}
        for name, group in configured.items():
            for user in group.users:
                by_user.setdefault(user, set()).add(name)
        self._by_user = {user: frozenset(names) for user, names in by_user.items()}

    def of(self, principal: Principal) -> frozenset[str]:
        """Return the groups of the principal; none for anonymous clients and for tokens of a token server."""
        if not principal.authenticated or principal.authorized_elsewhere:
            return frozenset()
        return self._by_user.get(principal.name, frozenset())
