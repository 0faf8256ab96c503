"""Access control by the rules of the configuration (`http.accessControl`), compiled once.

Only the longest matching pattern applies to a repository. Its entries grant actions to users and groups; its
`defaultPolicy` grants to every authenticated client, its `anonymousPolicy` to anonymous ones; the `adminPolicy` grants
in every repository. There are no rules that deny: an action without a grant is denied. An entry with conditions grants
only where all of them are true.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from zot.auth.cel import Expression, compile_condition
from zot.auth.cel_context import ACTION_VARIABLES, RIGHT_VARIABLES, TIME_VARIABLES, CelContext
from zot.auth.decision import NO_CONTEXT, Decision, Grant, RequestContext
from zot.auth.immutability import TagImmutability
from zot.auth.patterns import Patterns
from zot.auth.principal import Principal
from zot.auth.scopes import allowed
from zot.auth.subjects import GroupMemberships, Subjects
from zot.config.access_control import AccessControlConfig, RepositoryPolicyConfig
from zot.config.access_control import PolicyConfig as EntryConfig
from zot.oci.names import Repository, Tag
from zot.registry.request import Action, Request, Right

ROOT = "http.accessControl"


class AccessPolicy:
    """The policy of a registry with access control. Immutable: a changed configuration is a new policy."""

    def __init__(self, rules: AccessControlConfig) -> None:
        """Compile the rules. Raises ValueError if a pattern or a condition is invalid."""
        self._memberships = GroupMemberships(rules.groups)
        self._patterns = Patterns(list(rules.repositories))
        self._repositories = [_RepositoryRules(pattern, each, rules) for pattern, each in rules.repositories.items()]
        self._admin = _PolicyEntry(f"{ROOT}.adminPolicy", rules.admin_policy, rules)
        self._immutable = TagImmutability(rules)
        self.exempts_users = any(entry.except_groups for entry in rules.immutable_tags)
        self._metrics = rules.metrics
        self.allows_anonymous = any(each.anonymous_policy for each in rules.repositories.values())
        self.names_users = bool(rules.admin_policy.actions) or any(
            each.default_policy or each.policies for each in rules.repositories.values()
        )
        entries = [entry for each in rules.repositories.values() for entry in each.policies]
        self.conditional = any(entry.conditions for entry in [rules.admin_policy, *entries])
        self.timed = self._admin.timed or any(each.timed for each in self._repositories)

    def decide(self, principal: Principal, request: Request, context: RequestContext = NO_CONTEXT) -> Decision:
        """Decide whether the principal may do everything that the request does."""
        subject = self._subject(principal, context)
        grants = tuple([self._grant(subject, right) for right in request.rights()])
        for missing in grants:
            if not missing.actions:
                break
        else:
            return Decision(allowed=True, grants=grants)
        return Decision(
            allowed=False, grants=grants, reason=_missing(principal, missing), message=subject.failed_message
        )

    def readable(self, principal: Principal, repository: Repository, context: RequestContext = NO_CONTEXT) -> bool:
        """Tell whether listings show the repository: reading is granted for any reference."""
        right = Right((Action.READ,), repository)
        return bool(self._grant(self._subject(principal, context), right).actions)

    def reads_everything(self, principal: Principal) -> bool:
        """Tell whether the admin policy lets the principal read in every repository, without a condition."""
        admin = self._admin
        return (
            not principal.limited and Action.READ in admin.actions and not admin.conditions and self.is_admin(principal)
        )

    def detects_collisions(
        self, principal: Principal, repository: Repository, context: RequestContext = NO_CONTEXT
    ) -> bool:
        """Tell whether deleting a digest with several tags is a conflict.

        It is for principals with the action `detectManifestCollision` who are not administrators.
        """
        subject = self._subject(principal, context)
        right = Right((Action.DETECT_MANIFEST_COLLISION,), repository)
        return not subject.is_admin and bool(self._grant(subject, right).actions)

    def immutable(self, principal: Principal, repository: Repository, tag: Tag) -> bool:
        """Tell whether the principal may neither move nor delete the tag, regardless of token scopes."""
        return self.immutable_by(principal, repository, tag) is not None

    def immutable_by(self, principal: Principal, repository: Repository, tag: Tag) -> str | None:
        """Return the key of the rule that makes the tag immutable for the principal, or None."""
        return self._immutable.rule(principal, self.configured_groups(principal), repository, tag)

    def is_admin(self, principal: Principal) -> bool:
        """Tell whether the admin policy names the principal or one of their groups."""
        return self._subject(principal, NO_CONTEXT).is_admin

    def reads_metrics(self, principal: Principal) -> bool:
        """Tell whether the principal may read the metrics: users by name, or all anonymous clients."""
        if principal.authenticated:
            return principal.name in self._metrics.users and not principal.limited
        return Action.READ in self._metrics.anonymous_policy

    def configured_groups(self, principal: Principal) -> frozenset[str]:
        """Return the groups that the configuration puts the principal in."""
        return self._memberships.of(principal)

    def pattern_of(self, repository: Repository) -> str | None:
        """Return the pattern that applies to the repository, None if none matches."""
        index = self._patterns.longest(repository)
        return None if index is None else self._repositories[index].pattern

    def _subject(self, principal: Principal, context: RequestContext) -> _Subject:
        return _Subject(principal, self._memberships.of(principal), context, self._admin)

    def _grant(self, subject: _Subject, right: Right) -> Grant:
        scopes = subject.principal.scopes
        if subject.principal.authorized_elsewhere:
            actions = frozenset(action for action in right.actions if allowed(scopes or (), action, right.repository))
            return Grant(right, actions, "the access entries of the token")
        index = self._patterns.longest(right.repository)
        rules = None if index is None else self._repositories[index]
        granted: set[Action] = set()
        rule = f"{ROOT}.repositories: no pattern matches" if rules is None else f"{rules.key}: no rule grants it"
        for action in right.actions:
            if scopes is not None and not allowed(scopes, action, right.repository):
                rule = rule if granted else "the scopes of the API key do not include it"
                continue
            granting = (rules and rules.granting(subject, right, action)) or self._granting_admin(
                subject, right, action
            )
            if granting:
                granted.add(action)
                rule = granting
        return Grant(right, frozenset(granted), rule)

    def _granting_admin(self, subject: _Subject, right: Right, action: Action) -> str | None:
        # The caller has checked the scopes of an API key; within them an administrator's grants apply as well.
        admin = self._admin
        grants = action in admin.actions and admin.members.include(subject.principal, subject.configured)
        return admin.key if grants and subject.meets(admin, right, action) else None


class _PolicyEntry:
    """One entry of policies: its users and groups, the actions it grants, its conditions."""

    def __init__(self, key: str, entry: EntryConfig, rules: AccessControlConfig) -> None:
        self.key = key
        self.members = Subjects(entry.users, entry.groups, rules.groups)
        self.actions = frozenset(entry.actions)
        self.conditions: tuple[tuple[Expression, str], ...] = tuple(
            (compile_condition(item.expression), item.message) for item in entry.conditions
        )
        named = frozenset(name for expression, _ in self.conditions for name in expression.names)
        self.by_right = not RIGHT_VARIABLES.isdisjoint(named)
        self.by_action = not ACTION_VARIABLES.isdisjoint(named)
        self.timed = not TIME_VARIABLES.isdisjoint(named)


class _RepositoryRules:
    """The rules of one pattern, indexed by name and action: lookups take constant time in the entries."""

    def __init__(self, pattern: str, config: RepositoryPolicyConfig, rules: AccessControlConfig) -> None:
        self.pattern = pattern
        self.key = f'{ROOT}.repositories["{pattern}"]'
        self._default = frozenset(config.default_policy)
        self._anonymous = frozenset(config.anonymous_policy)
        self._users: dict[tuple[str, str], list[_PolicyEntry]] = {}
        self._groups: dict[tuple[str, str], list[_PolicyEntry]] = {}
        self._configured: dict[tuple[str, str], list[_PolicyEntry]] = {}
        self.timed = False
        for number, entry_config in enumerate(config.policies):
            entry = _PolicyEntry(f"{self.key}.policies[{number}]", entry_config, rules)
            self.timed = self.timed or entry.timed
            _index(self._users, entry.members.users, entry)
            _index(self._groups, entry.members.groups, entry)
            _index(self._configured, entry.members.configured, entry)

    def granting(self, subject: _Subject, right: Right, action: Action) -> str | None:
        """Return the key of the rule that grants the action, None if none does."""
        if not subject.principal.authenticated:
            return f"{self.key}.anonymousPolicy" if action in self._anonymous else None
        for entry in self._candidates(subject, action):
            if subject.meets(entry, right, action):
                return entry.key
        return f"{self.key}.defaultPolicy" if action in self._default else None

    def _candidates(self, subject: _Subject, action: Action) -> Iterable[_PolicyEntry]:
        yield from self._users.get((subject.principal.name, action), ())
        for group in subject.principal.groups:
            yield from self._groups.get((group, action), ())
        for group in subject.configured:
            yield from self._configured.get((group, action), ())


def _index(index: dict[tuple[str, str], list[_PolicyEntry]], names: Iterable[str], entry: _PolicyEntry) -> None:
    for name in names:
        for action in entry.actions:
            index.setdefault((name, action), []).append(entry)


class _Subject:
    """A principal and its request context during one decision; derived values are computed lazily and once."""

    __slots__ = ("_admin", "_groups", "_met", "_time", "configured", "context", "failed_message", "principal")

    def __init__(
        self, principal: Principal, configured: frozenset[str], context: RequestContext, admin: _PolicyEntry
    ) -> None:
        self.principal = principal
        self.configured = configured
        self.context = context
        self.failed_message = ""
        self._admin = admin
        self._groups: Sequence[str] | None = None
        self._time: dt.datetime | None = None
        self._met: dict[tuple[_PolicyEntry, Right | None, Action | None], bool] = {}

    @property
    def is_admin(self) -> bool:
        return not self.principal.limited and self._admin.members.include(self.principal, self.configured)

    @property
    def groups(self) -> Sequence[str]:
        if self._groups is None:
            self._groups = sorted(self.principal.groups | self.configured)
        return self._groups

    @property
    def time(self) -> dt.datetime:
        if self._time is None:
            self._time = dt.datetime.now(dt.UTC)
        return self._time

    def meets(self, entry: _PolicyEntry, right: Right, action: Action) -> bool:
        """Tell whether all conditions of the entry are true; keep the message of the first that fails."""
        if not entry.conditions:
            return True
        # Conditions that read neither action nor reference have one value for all rights of a request.
        key = (entry, right if entry.by_right else None, action if entry.by_action else None)
        met = self._met.get(key)
        if met is None:
            met = self._met[key] = self._evaluate(entry, CelContext(self, right, action))
        return met

    def _evaluate(self, entry: _PolicyEntry, values: CelContext) -> bool:
        for expression, message in entry.conditions:
            if not expression.is_true(values):
                self.failed_message = self.failed_message or message
                return False
        return True


def _missing(principal: Principal, grant: Grant) -> str:
    who = repr(principal.name) if principal.authenticated else "anonymous"
    needed = " or ".join(grant.right.actions)
    what = " ".join(filter(None, (grant.right.repository, grant.right.reference)))
    return f"{who} needs {needed} on {what}; {grant.rule}"
