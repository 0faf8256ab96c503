"""Whom a rule names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zot.auth.principal import Principal
from zot.config.access_control import GroupConfig


class Subjects:
    """Users and groups named by a rule.

    A group may come from the configuration or with the principal. The names of configured groups are read in lower
    case, as all keys are, so those match without regard to case; the others exactly.
    """

    def __init__(self, users: Iterable[str], groups: Iterable[str], configured: Mapping[str, GroupConfig]) -> None:
        """Take the names as written, and the groups of the configuration."""
        self.users = frozenset(users)
        self.groups = frozenset(groups)
        self.configured = frozenset(name.lower() for name in self.groups) & configured.keys()

    def include(self, principal: Principal, configured: frozenset[str]) -> bool:
        """Tell whether the rule names the principal, whom the configuration puts in the groups `configured`."""
        return principal.authenticated and (
            principal.name in self.users
            or not self.groups.isdisjoint(principal.groups)
            or not self.configured.isdisjoint(configured)
        )


class GroupMemberships:
    """Which groups of the configuration a principal is in."""

    def __init__(self, configured: Mapping[str, GroupConfig]) -> None:
        """Turn groups of users into groups by user."""
        by_user: dict[str, set[str]] = {}
        for name, group in configured.items():
            for user in group.users:
                by_user.setdefault(user, set()).add(name)
        self._by_user = {user: frozenset(names) for user, names in by_user.items()}

    def of(self, principal: Principal) -> frozenset[str]:
        """Return the groups; anonymous is in none, and neither is whom a token server calls by a user's name."""
        if not principal.authenticated or principal.authorized_elsewhere:
            return frozenset()
        return self._by_user.get(principal.name, frozenset())
