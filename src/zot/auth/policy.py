"""Access control as the configuration has it (`http.accessControl`), compiled once.

For a repository the longest matching pattern holds alone. Its entries grant actions to users and groups; then its
`defaultPolicy` grants to everybody who is logged in, or its `anonymousPolicy` to everybody who is not; at last the
`adminPolicy` grants everywhere. Nothing denies: what nobody grants is denied. An entry with conditions grants only
where all of them are true.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from zot.auth.cel import Expression, condition
from zot.auth.cel_context import OF_ACTION, OF_RIGHT, CelContext
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
    """The policy of a registry with access control. Immutable: another configuration is another policy."""

    def __init__(self, rules: AccessControlConfig) -> None:
        """Compile; raise ValueError if a pattern or a condition is wrong."""
        self._memberships = GroupMemberships(rules.groups)
        self._patterns = Patterns(list(rules.repositories))
        self._repositories = [_Repository(pattern, held, rules) for pattern, held in rules.repositories.items()]
        self._admin = _PolicyEntry(f"{ROOT}.adminPolicy", rules.admin_policy, rules)
        self._immutable = TagImmutability(rules)
        self.excepts_users = any(entry.except_groups for entry in rules.immutable_tags)
        self._metrics = rules.metrics
        self.lets_anonymous_in = any(held.anonymous_policy for held in rules.repositories.values())
        self.names_users = bool(rules.admin_policy.actions) or any(
            held.default_policy or held.policies for held in rules.repositories.values()
        )
        entries = [entry for held in rules.repositories.values() for entry in held.policies]
        self.conditional = any(entry.conditions for entry in [rules.admin_policy, *entries])

    def decide(self, principal: Principal, request: Request, circumstances: RequestContext = NO_CONTEXT) -> Decision:
        """Decide whether the principal may do all that the request does."""
        asker = self._asker(principal, circumstances)
        grants = tuple([self._grant(asker, right) for right in request.rights()])
        for missing in grants:
            if not missing.actions:
                break
        else:
            return Decision(allowed=True, grants=grants)
        return Decision(allowed=False, grants=grants, reason=_missing(principal, missing), message=asker.failed_message)

    def readable(
        self, principal: Principal, repository: Repository, circumstances: RequestContext = NO_CONTEXT
    ) -> bool:
        """Tell whether lists show the repository: whether reading is granted whatever the reference."""
        right = Right((Action.READ,), repository)
        return bool(self._grant(self._asker(principal, circumstances), right).actions)

    def detects_collisions(
        self, principal: Principal, repository: Repository, circumstances: RequestContext = NO_CONTEXT
    ) -> bool:
        """Tell whether deleting a digest with several tags is a conflict: for who has that action, but no admin."""
        asker = self._asker(principal, circumstances)
        right = Right((Action.DETECT_MANIFEST_COLLISION,), repository)
        return not asker.is_admin and bool(self._grant(asker, right).actions)

    def immutable(self, principal: Principal, repository: Repository, tag: Tag) -> bool:
        """Tell whether the tag may neither be moved nor deleted; whatever a token's scopes say."""
        return self.immutable_by(principal, repository, tag) is not None

    def immutable_by(self, principal: Principal, repository: Repository, tag: Tag) -> str | None:
        """Return the place of the rule that keeps the tag as it is, None if none does."""
        return self._immutable.rule(principal, self.configured_groups(principal), repository, tag)

    def is_admin(self, principal: Principal) -> bool:
        """Tell whether the admin policy names the principal or one of their groups."""
        return self._asker(principal, NO_CONTEXT).is_admin

    def reads_metrics(self, principal: Principal) -> bool:
        """Tell whether the principal may read the metrics: users by name, everybody else together."""
        if principal.authenticated:
            return principal.name in self._metrics.users and not principal.limited
        return Action.READ in self._metrics.anonymous_policy

    def configured_groups(self, principal: Principal) -> frozenset[str]:
        """Return the groups that the configuration puts the principal in."""
        return self._memberships.of(principal)

    def pattern_of(self, repository: Repository) -> str | None:
        """Return the pattern that holds for the repository, None if none matches."""
        place = self._patterns.longest(repository)
        return None if place is None else self._repositories[place].pattern

    def _asker(self, principal: Principal, circumstances: RequestContext) -> _Subject:
        return _Subject(principal, self._memberships.of(principal), circumstances, self._admin)

    def _grant(self, asker: _Subject, right: Right) -> Grant:
        scopes = asker.principal.scopes
        if asker.principal.authorized_elsewhere:
            actions = frozenset(action for action in right.actions if allowed(scopes or (), action, right.repository))
            return Grant(right, actions, "the access entries of the token")
        place = self._patterns.longest(right.repository)
        held = None if place is None else self._repositories[place]
        granted: set[Action] = set()
        rule = f"{ROOT}.repositories: no pattern matches" if held is None else f"{held.place}: no rule grants it"
        for action in right.actions:
            if scopes is not None and not allowed(scopes, action, right.repository):
                rule = rule if granted else "the scopes of the API key leave it out"
                continue
            granting = (held and held.granting(asker, right, action)) or self._granting_admin(asker, right, action)
            if granting:
                granted.add(action)
                rule = granting
        return Grant(right, frozenset(granted), rule)

    def _granting_admin(self, asker: _Subject, right: Right, action: Action) -> str | None:
        # Within the scopes of an API key, which were looked at before, an administrator's grants hold as well.
        admin = self._admin
        grants = action in admin.actions and admin.members.include(asker.principal, asker.configured)
        return admin.place if grants and asker.meets(admin, right, action) else None


class _PolicyEntry:
    """One entry of policies: whom it names, what it grants, and under which conditions."""

    def __init__(self, place: str, entry: EntryConfig, rules: AccessControlConfig) -> None:
        self.place = place
        self.members = Subjects(entry.users, entry.groups, rules.groups)
        self.actions = frozenset(entry.actions)
        self.conditions: tuple[tuple[Expression, str], ...] = tuple(
            (condition(item.expression), item.message) for item in entry.conditions
        )
        named = frozenset(name for expression, _ in self.conditions for name in expression.names)
        self.by_right = not OF_RIGHT.isdisjoint(named)
        self.by_action = not OF_ACTION.isdisjoint(named)


class _Repository:
    """The rules of one pattern, by whom and what they name: as quick with a thousand entries as with one."""

    def __init__(self, pattern: str, held: RepositoryPolicyConfig, rules: AccessControlConfig) -> None:
        self.pattern = pattern
        self.place = f'{ROOT}.repositories["{pattern}"]'
        self._default = frozenset(held.default_policy)
        self._anonymous = frozenset(held.anonymous_policy)
        self._users: dict[tuple[str, str], list[_PolicyEntry]] = {}
        self._groups: dict[tuple[str, str], list[_PolicyEntry]] = {}
        self._configured: dict[tuple[str, str], list[_PolicyEntry]] = {}
        for number, config in enumerate(held.policies):
            entry = _PolicyEntry(f"{self.place}.policies[{number}]", config, rules)
            _index(self._users, entry.members.users, entry)
            _index(self._groups, entry.members.groups, entry)
            _index(self._configured, entry.members.configured, entry)

    def granting(self, asker: _Subject, right: Right, action: Action) -> str | None:
        """Return the place of the rule that grants the action, None if none does."""
        if not asker.principal.authenticated:
            return f"{self.place}.anonymousPolicy" if action in self._anonymous else None
        for entry in self._naming(asker, action):
            if asker.meets(entry, right, action):
                return entry.place
        return f"{self.place}.defaultPolicy" if action in self._default else None

    def _naming(self, asker: _Subject, action: Action) -> Iterable[_PolicyEntry]:
        yield from self._users.get((asker.principal.name, action), ())
        for group in asker.principal.groups:
            yield from self._groups.get((group, action), ())
        for group in asker.configured:
            yield from self._configured.get((group, action), ())


def _index(index: dict[tuple[str, str], list[_PolicyEntry]], names: Iterable[str], entry: _PolicyEntry) -> None:
    for name in names:
        for action in entry.actions:
            index.setdefault((name, action), []).append(entry)


class _Subject:
    """A principal in their circumstances, with what is found out about them once a decision and only if needed."""

    __slots__ = ("_admin", "_groups", "_met", "_time", "circumstances", "configured", "failed_message", "principal")

    def __init__(
        self, principal: Principal, configured: frozenset[str], circumstances: RequestContext, admin: _PolicyEntry
    ) -> None:
        self.principal = principal
        self.configured = configured
        self.circumstances = circumstances
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
        """Tell whether all conditions of the entry are true; remember what the first that fails has to say."""
        if not entry.conditions:
            return True
        # What looks neither at the action nor at the tag has one value for creating it, moving it, and the next one.
        key = (entry, right if entry.by_right else None, action if entry.by_action else None)
        met = self._met.get(key)
        if met is None:
            met = self._met[key] = self._evaluate(entry, CelContext(self, right, action))
        return met

    def _evaluate(self, entry: _PolicyEntry, facts: CelContext) -> bool:
        for expression, message in entry.conditions:
            if not expression.holds(facts):
                self.failed_message = self.failed_message or message
                return False
        return True


def _missing(principal: Principal, grant: Grant) -> str:
    who = repr(principal.name) if principal.authenticated else "anonymous"
    needed = " or ".join(grant.right.actions)
    what = " ".join(filter(None, (grant.right.repository, grant.right.reference)))
    return f"{who} needs {needed} on {what}; {grant.rule}"
