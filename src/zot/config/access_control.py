"""`http.accessControl`: the authorization rules."""

from __future__ import annotations

from zot.config.section import Listed, Section, own_key, zot_key


class ConditionConfig(Section):
    """A condition of a policy entry."""

    expression: str = zot_key(
        "expression", "", doc="CEL expression over `req` that must be true for the entry to grant."
    )
    message: str = zot_key("message", "", doc="Error message for a request that the condition denies.")


class PolicyConfig(Section):
    """Actions granted to users and groups."""

    users: Listed[str] = zot_key("users", (), doc="Users that the entry applies to.")
    groups: Listed[str] = zot_key("groups", (), doc="Groups that the entry applies to.")
    actions: Listed[str] = zot_key(
        "actions", (), doc="`read`, `create`, `update`, `delete`, `detectManifestCollision`."
    )
    conditions: Listed[ConditionConfig] = zot_key("conditions", (), doc="Conditions, all of which must be true.")


class RepositoryPolicyConfig(Section):
    """The rules of the repositories that match a glob; the longest matching glob applies."""

    policies: Listed[PolicyConfig] = zot_key("policies", (), doc="Actions by users and groups.")
    default_policy: Listed[str] = zot_key("defaultPolicy", (), doc="Actions of every authenticated user.")
    anonymous_policy: Listed[str] = zot_key("anonymousPolicy", (), doc="Actions of unauthenticated clients.")


class GroupConfig(Section):
    """A named list of users."""

    users: Listed[str] = zot_key("users", (), doc="Its members.")


class MetricsAccess(Section):
    """Who may read the metrics."""

    users: Listed[str] = zot_key("users", (), doc="Users who may read them.")
    anonymous_policy: Listed[str] = zot_key("anonymousPolicy", (), doc="`read` allows every client.")


class ImmutableTagsConfig(Section):
    """Tags that can be neither moved nor deleted."""

    repositories: Listed[str] = own_key("http.accessControl.immutableTags[].repositories")
    tags: Listed[str] = own_key("http.accessControl.immutableTags[].tags")
    except_groups: Listed[str] = own_key("http.accessControl.immutableTags[].exceptGroups")


class AccessControlConfig(Section):
    """The authorization rules. An action that no rule grants is denied."""

    repositories: dict[str, RepositoryPolicyConfig] = zot_key("repositories", {}, doc="Rules by glob of repositories.")
    admin_policy: PolicyConfig = zot_key(
        "adminPolicy", PolicyConfig.model_construct(), doc="Actions of administrators, in every repository."
    )
    groups: dict[str, GroupConfig] = zot_key("groups", {}, doc="Groups by name; names are read in lower case.")
    metrics: MetricsAccess = zot_key("metrics", MetricsAccess.model_construct(), doc="Who may read the metrics.")
    immutable_tags: Listed[ImmutableTagsConfig] = own_key("http.accessControl.immutableTags")

    @property
    def only_anonymous(self) -> bool:
        """Whether only anonymous policies grant actions, so that no authentication method is needed."""
        if self.admin_policy.actions or self.admin_policy.users:
            return False
        rules = self.repositories.values()
        if any(rule.default_policy or any(entry.actions or entry.users for entry in rule.policies) for rule in rules):
            return False
        return any(rule.anonymous_policy for rule in rules)

    @property
    def only_anonymous_metrics(self) -> bool:
        """Whether the only rule is that every client may read the metrics."""
        admins = self.admin_policy
        restricted = admins.actions or admins.users or admins.groups or self.repositories or self.groups
        return not restricted and "read" in self.metrics.anonymous_policy
