"""Why somebody may or may not do something: for `zot explain`, and for administrators over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zot.auth.decision import NO_CONTEXT, RequestContext
from zot.auth.policy import AccessPolicy
from zot.auth.principal import ANONYMOUS, Principal
from zot.config.access_control import AccessControlConfig
from zot.oci.names import Reference, Repository, as_tag
from zot.registry.request import Action, OfRepository, Right


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A decision in words. `rule` is a place in the configuration."""

    allowed: bool
    user: str
    groups: tuple[str, ...]
    """All groups that count: those asked about, and those of the configuration."""
    repository: str
    action: str
    rule: str
    """What granted it, or what was looked at in vain."""
    reference: str = ""
    pattern: str = ""
    """The repository pattern that holds: the longest that matches."""
    reason: str = ""
    """For a refusal: what is missing."""
    message: str = ""
    """For a refusal: what the condition that failed says."""
    would_allow: tuple[str, ...] = ()
    """For a refusal: who could be given what, in the rules as they are."""


class _ExplainedRequest(OfRepository, frozen=True):
    """A request for one action alone."""

    operation = "explain"
    action_asked: Action
    reference: Reference | None = None

    def rights(self) -> tuple[Right, ...]:
        return (Right((self.action_asked,), self.repository, self.reference),)


def explain(
    rules: AccessControlConfig | None,
    user: str,
    groups: Sequence[str],
    repository: Repository,
    action: Action,
    reference: Reference | None = None,
    circumstances: RequestContext = NO_CONTEXT,
) -> Explanation:
    """Explain what the rules say; an empty user is anonymous. Raises ValueError if a pattern or condition is wrong."""
    principal = Principal(user, "explained", frozenset(groups)) if user else ANONYMOUS
    if rules is None:
        return Explanation(True, user, tuple(sorted(groups)), repository, action, "no accessControl")
    policy = AccessPolicy(rules)
    decision = policy.decide(principal, _ExplainedRequest(repository, action, reference), circumstances)
    tag = as_tag(reference) if reference is not None else None
    kept = None
    if tag is not None and action in {Action.UPDATE, Action.DELETE}:
        kept = policy.immutable_by(principal, repository, tag)
    pattern = policy.pattern_of(repository)
    explained = Explanation(
        allowed=decision.allowed and kept is None,
        user=user,
        groups=tuple(sorted(principal.groups | policy.configured_groups(principal))),
        repository=repository,
        action=action,
        rule=kept or decision.grants[0].rule,
        reference=reference or "",
        pattern=pattern or "",
        reason=f"the tag {tag} is immutable" if kept else decision.reason,
        message=decision.message,
    )
    if explained.allowed or kept is not None:
        return explained
    return msgspec.structs.replace(explained, would_allow=_would_allow(rules, pattern, action, anonymous=not user))


def _would_allow(
    rules: AccessControlConfig, pattern: str | None, action: Action, *, anonymous: bool
) -> tuple[str, ...]:
    """Return the entries that grant the action to somebody else, and what could be added to."""
    hints = []
    place = f'http.accessControl.repositories["{pattern}"]'
    held = rules.repositories[pattern] if pattern is not None else None
    for number, entry in enumerate(held.policies if held is not None else ()):
        if action in entry.actions:
            whom = [*(f"user {name}" for name in entry.users), *(f"group {name}" for name in entry.groups)]
            only = " under its conditions" if entry.conditions else ""
            hints.append(f"{place}.policies[{number}] grants it to {', '.join(whom) or 'nobody'}{only}")
    admins = rules.admin_policy
    if action in admins.actions:
        whom = [*(f"user {name}" for name in admins.users), *(f"group {name}" for name in admins.groups)]
        hints.append(f"http.accessControl.adminPolicy grants it to {', '.join(whom) or 'nobody'}")
    if held is None:
        hints.append("a pattern in http.accessControl.repositories that matches the repository")
    elif anonymous:
        hints.append(f"{action} in {place}.anonymousPolicy")
    else:
        hints.append(f"an entry with {action} in {place}.policies, or {action} in its defaultPolicy")
    return tuple(hints)
