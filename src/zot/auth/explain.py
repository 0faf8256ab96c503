"""Explains decisions of access control: for `zot explain`, and for administrators over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zot.auth.decision import NO_CONTEXT, Policy, RequestContext
from zot.auth.policy import AccessPolicy
from zot.auth.principal import ANONYMOUS, Principal
from zot.config.access_control import AccessControlConfig, PolicyConfig
from zot.oci.names import Reference, Repository, as_tag
from zot.registry.request import Action, OfRepository, Right


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A decision with its reasons, as `zot explain` and the API show it."""

    allowed: bool
    user: str
    groups: tuple[str, ...]
    """All groups of the user: those of the question, and those of the configuration."""
    repository: str
    action: str
    rule: str
    """The configuration key that granted the action, or the one that does not grant it."""
    reference: str = ""
    pattern: str = ""
    """The repository pattern that applies: the longest that matches."""
    reason: str = ""
    """For a denial: what is missing."""
    message: str = ""
    """For a denial: the message of the failed condition."""
    would_allow: tuple[str, ...] = ()
    """For a denial: the rules that grant the action to others, and where one could be added."""


class _ExplainedRequest(OfRepository, frozen=True):
    """A request for a single action."""

    operation = "explain"
    asked_action: Action
    reference: Reference | None = None

    def rights(self) -> tuple[Right, ...]:
        return (Right((self.asked_action,), self.repository, self.reference),)


class OwnRight(msgspec.Struct, frozen=True):
    """Whether a client may do something, as the client itself may know it."""

    action: Action
    allowed: bool
    rule: str
    """The configuration key that grants it; empty for a denial, whose reasons are for operators."""
    message: str = ""
    """For a denial: the message of the failed condition."""


def own_rights(
    policy: Policy, principal: Principal, repository: Repository, context: RequestContext = NO_CONTEXT
) -> tuple[OwnRight, ...]:
    """Return what a client may do in a repository, whatever the tag."""
    rights = []
    for action in (Action.READ, Action.CREATE, Action.UPDATE, Action.DELETE):
        decision = policy.decide(principal, _ExplainedRequest(repository, action), context)
        rule = decision.grants[0].rule if decision.allowed else ""
        rights.append(OwnRight(action, decision.allowed, rule, decision.message))
    return tuple(rights)


def explain(
    rules: AccessControlConfig | None,
    user: str,
    groups: Sequence[str],
    repository: Repository,
    action: Action,
    reference: Reference | None = None,
    context: RequestContext = NO_CONTEXT,
) -> Explanation:
    """Explain whether the rules allow the action to the user; an empty user is anonymous.

    Raises ValueError if a pattern or a condition of the rules is invalid.
    """
    principal = Principal(user, "explained", frozenset(groups)) if user else ANONYMOUS
    if rules is None:
        return Explanation(True, user, tuple(sorted(groups)), repository, action, "no accessControl")
    policy = AccessPolicy(rules)
    decision = policy.decide(principal, _ExplainedRequest(repository, action, reference), context)
    tag = as_tag(reference) if reference is not None else None
    immutable_by = None
    if tag is not None and action in {Action.UPDATE, Action.DELETE}:
        immutable_by = policy.immutable_by(principal, repository, tag)
    pattern = policy.pattern_of(repository)
    explanation = Explanation(
        allowed=decision.allowed and immutable_by is None,
        user=user,
        groups=tuple(sorted(principal.groups | policy.configured_groups(principal))),
        repository=repository,
        action=action,
        rule=immutable_by or decision.grants[0].rule,
        reference=reference or "",
        pattern=pattern or "",
        reason=f"the tag {tag} is immutable" if immutable_by else decision.reason,
        message=decision.message,
    )
    if explanation.allowed or immutable_by is not None:
        return explanation
    return msgspec.structs.replace(explanation, would_allow=_would_allow(rules, pattern, action, anonymous=not user))


def _would_allow(
    rules: AccessControlConfig, pattern: str | None, action: Action, *, anonymous: bool
) -> tuple[str, ...]:
    """Return the entries that grant the action to others, and where it could be added."""
    hints = []
    key = f'http.accessControl.repositories["{pattern}"]'
    repository_rules = rules.repositories[pattern] if pattern is not None else None
    for number, entry in enumerate(repository_rules.policies if repository_rules is not None else ()):
        if action in entry.actions:
            only = " under its conditions" if entry.conditions else ""
            hints.append(f"{key}.policies[{number}] grants it to {_named(entry)}{only}")
    admins = rules.admin_policy
    if action in admins.actions:
        hints.append(f"http.accessControl.adminPolicy grants it to {_named(admins)}")
    if repository_rules is None:
        hints.append("a pattern in http.accessControl.repositories that matches the repository")
    elif anonymous:
        hints.append(f"{action} in {key}.anonymousPolicy")
    else:
        hints.append(f"an entry with {action} in {key}.policies, or {action} in its defaultPolicy")
    return tuple(hints)


def _named(entry: PolicyConfig) -> str:
    named = [*(f"user {name}" for name in entry.users), *(f"group {name}" for name in entry.groups)]
    return ", ".join(named) or "no user and no group"
