"""`http.accessControl`: who may do what."""

from __future__ import annotations

from zot.config.section import Listed, Section, own_key, zot_key


class ConditionConfig(Section):
    """A condition of a policy entry."""

    expression: str = zot_key(
        "expression", "", doc="CEL expression over `req` that must be true for the entry to grant."
    )
    message: str = zot_key("message", "", doc="What a refused client is told.")


class PolicyConfig(Section):
    """Actions granted to users and groups."""

    users: Listed[str] = zot_key("users", (), doc="Users meant.")
    groups: Listed[str] = zot_key("groups", (), doc="Groups meant.")
    actions: Listed[str] = zot_key(
        "actions", (), doc="`read`, `create`, `update`, `delete`, `detectManifestCollision`."
    )
    conditions: Listed[ConditionConfig] = zot_key("conditions", (), doc="Conditions, all of which must be true.")


class RepositoryPolicyConfig(Section):
    """The rules of the repositories that match a glob; of several globs that match, the longest holds."""

    policies: Listed[PolicyConfig] = zot_key("policies", (), doc="Actions by users and groups.")
    default_policy: Listed[str] = zot_key("defaultPolicy", (), doc="Actions of everybody who is logged in.")
    anonymous_policy: Listed[str] = zot_key("anonymousPolicy", (), doc="Actions of everybody who is not logged in.")


class GroupConfig(Section):
    """A named list of users."""

    users: Listed[str] = zot_key("users", (), doc="Its members.")


class MetricsAccess(Section):
    """Who may read the metrics."""

    users: Listed[str] = zot_key("users", (), doc="Users who may.")
    anonymous_policy: Listed[str] = zot_key("anonymousPolicy", (), doc="`read` lets everybody.")


class ImmutableTagsConfig(Section):
    """Tags that stay as they were pushed."""

    repositories: Listed[str] = own_key("http.accessControl.immutableTags[].repositories")
    tags: Listed[str] = own_key("http.accessControl.immutableTags[].tags")
    except_groups: Listed[str] = own_key("http.accessControl.immutableTags[].exceptGroups")


class AccessControlConfig(Section):
    """Who may do what. What no rule allows is denied."""

    repositories: dict[str, RepositoryPolicyConfig] = zot_key("repositories", {}, doc="Rules by glob of repositories.")
    admin_policy: PolicyConfig = zot_key(
        "adminPolicy", PolicyConfig(), doc="Actions of administrators, in every repository."
    )
    groups: dict[str, GroupConfig] = zot_key("groups", {}, doc="Groups by name; names are read in lower case.")
    metrics: MetricsAccess = zot_key("metrics", MetricsAccess(), doc="Who may read the metrics.")
    immutable_tags: Listed[ImmutableTagsConfig] = own_key("http.accessControl.immutableTags")

    @property
    def only_anonymous(self) -> bool:
        """Whether nothing is granted but to everybody, so that no way to log in is needed."""
        if self.admin_policy.actions or self.admin_policy.users:
            return False
        rules = self.repositories.values()
        if any(rule.default_policy or any(entry.actions or entry.users for entry in rule.policies) for rule in rules):
            return False
        return any(rule.anonymous_policy for rule in rules)

    @property
    def only_anonymous_metrics(self) -> bool:
        """Whether nothing is said but that everybody may read the metrics."""
        admins = self.admin_policy
        said = admins.actions or admins.users or admins.groups or self.repositories or self.groups
        return not said and "read" in self.metrics.anonymous_policy
