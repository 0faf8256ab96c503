"""Rules of `http.accessControl`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from zot.config.errors import ConfigProblem, ConfigWarning, Finding
from zot.config.globs import compile_glob
from zot.config.rules import patterns as pattern_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zot.config.access_control import AccessControlConfig, PolicyConfig
    from zot.config.http import HttpConfig

PATH = "http.accessControl"
CHANGES = frozenset({"create", "update", "delete"})
ACTIONS = CHANGES | {"read", "detectManifestCollision"}


def auth_required(http: HttpConfig) -> Iterator[Finding]:
    """Check that rules about users come with an authentication method."""
    rules, auth = http.access_control, http.auth
    if rules is None or auth.has_basic or auth.has_bearer or http.verifies_clients:
        return
    if not (rules.only_anonymous or rules.only_anonymous_metrics):
        yield ConfigProblem(
            "access control config requires one of htpasswd, ldap, openid or mTLS authentication or using only "
            "'anonymousPolicy' policies",
            PATH,
        )


def conditions(
    rules: AccessControlConfig | None, compile_condition: Callable[[str], object] | None
) -> Iterator[Finding]:
    """Check that every condition compiles."""
    if rules is None or compile_condition is None:
        return
    for place, policy in _policies(rules):
        for i, condition in enumerate(policy.conditions):
            try:
                compile_condition(condition.expression)
            except ValueError as error:
                yield ConfigProblem(f"{place}: condition[{i}]: {error}", PATH)


def patterns(rules: AccessControlConfig | None) -> Iterator[Finding]:
    """Check that every repository pattern compiles."""
    for pattern in rules.repositories if rules is not None else ():
        try:
            compile_glob(pattern)
        except ValueError as error:
            yield ConfigProblem(
                "failed to compile authorization pattern",
                f'{PATH}.repositories["{pattern}"]',
                str(error),
                prefix="syntax error in pattern: ",
            )


def lint(http: HttpConfig) -> Iterator[Finding]:
    """Warn of rules that grant too much, grant nothing, or have no effect."""
    yield from _unintended_grants(http)
    rules = http.access_control
    if rules is None:
        return
    if http.auth.has_token_bearer:
        yield ConfigWarning(
            "tokens of the token server grant access themselves: only immutableTags apply to them", PATH
        )
    for i, entry in enumerate(rules.immutable_tags):
        key = f"{PATH}.immutableTags[{i}]"
        yield from pattern_rules.globs(entry.repositories, f"{key}.repositories", "invalid repository pattern")
        yield from pattern_rules.regexes(entry.tags, f"{key}.tags", "invalid tag pattern")
    yield from _ineffective_rules(http, rules)
    for place, actions in _granted(rules).items():
        for action in sorted(set(actions) - ACTIONS):
            yield ConfigWarning(f"{place}: unknown action {action!r} grants nothing", PATH)


def _unintended_grants(http: HttpConfig) -> Iterator[Finding]:
    """Warn of settings by which any client may push or delete."""
    rules, auth = http.access_control, http.auth
    if rules is None and not (auth.has_basic or auth.has_bearer or http.verifies_clients or _is_local(http)):
        yield ConfigWarning("every client that reaches this address may push and delete", "http.address")
    for pattern, held in rules.repositories.items() if rules is not None and not _is_local(http) else ():
        if not CHANGES.isdisjoint(held.anonymous_policy):
            key = f'{PATH}.repositories["{pattern}"].anonymousPolicy'
            yield ConfigWarning("every client that reaches http.address may push or delete", key)
    if rules is None or any(not CHANGES.isdisjoint(held.default_policy) for held in rules.repositories.values()):
        for name in auth.public_providers:
            key = f"http.auth.openid.providers.{name}"
            yield ConfigWarning("anyone with an account there may push or delete", key)


def _ineffective_rules(http: HttpConfig, rules: AccessControlConfig) -> Iterator[Finding]:
    """Warn of rules that apply to no user or to no repository."""
    named = {group for _, policy in _policies(rules) for group in policy.groups}
    unknown = {group for group in named if group.lower() not in rules.groups}
    empty = unknown if not http.auth.has_external_groups else set()
    for place, policy in _policies(rules):
        if policy.actions and not policy.users and not set(policy.groups) - empty:
            yield ConfigWarning(f"{place} applies to no user: it names no users and no group with members", PATH)
    for pattern in rules.repositories:
        if pattern.strip("/") != pattern or not pattern:
            yield ConfigWarning("no name of a repository matches this pattern", f'{PATH}.repositories["{pattern}"]')
    granted = [
        *(policy.actions for _, policy in _policies(rules) if policy.users or set(policy.groups) - empty),
        *(actions for held in rules.repositories.values() for actions in (held.default_policy, held.anonymous_policy)),
    ]
    if not any(granted) and not rules.only_anonymous_metrics:
        yield ConfigWarning("no rule grants any action: every request is denied", PATH)
    for group in sorted(empty):
        yield ConfigWarning(f"the group {group!r} has no members", f"{PATH}.groups")
    for group in sorted(named - unknown - set(rules.groups)):
        yield ConfigWarning(
            f"group names are read in lower case: write {group.lower()!r} instead of {group!r} in policies",
            f"{PATH}.groups",
        )


def _policies(rules: AccessControlConfig) -> Iterator[tuple[str, PolicyConfig]]:
    """Iterate over the policies, each with its place in zot's notation."""
    for pattern, repository in rules.repositories.items():
        for i, policy in enumerate(repository.policies):
            yield f'repositories["{pattern}"].policies[{i}]', policy
    yield "adminPolicy", rules.admin_policy


def _granted(rules: AccessControlConfig) -> dict[str, tuple[str, ...]]:
    granted = {place: policy.actions for place, policy in _policies(rules)}
    for pattern, repository in rules.repositories.items():
        granted[f'repositories["{pattern}"].defaultPolicy'] = repository.default_policy
        granted[f'repositories["{pattern}"].anonymousPolicy'] = repository.anonymous_policy
    return granted


def _is_local(http: HttpConfig) -> bool:
    if http.unix_socket or http.address == "localhost":
        return True
    try:
        return ip_address(http.address).is_loopback
    except ValueError:
        return False
