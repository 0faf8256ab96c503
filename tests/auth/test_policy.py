"""What the policy says beyond single decisions: which rule, what is missing, lists, scopes, immutability."""

import time
from typing import Any

import pytest

from zot.auth.decision import AllowAll, RequestContext
from zot.auth.patterns import Patterns
from zot.auth.policy import AccessPolicy
from zot.auth.principal import ANONYMOUS, Principal
from zot.auth.scopes import ApiKeyScope, InvalidScopeError, actions_of, parse_scope
from zot.config.access_control import AccessControlConfig
from zot.config.globs import compile_glob
from zot.oci.digest import digest_of
from zot.oci.names import parse_repository, parse_tag
from zot.registry.request import (
    Action,
    BeginUpload,
    DeleteManifest,
    ListRepositories,
    Ping,
    PullBlob,
    PullManifest,
    PushManifest,
)

APP = parse_repository("team/app")
OTHER = parse_repository("other")
V1, V2 = parse_tag("v1"), parse_tag("v2")
DIGEST = digest_of(b"content")
ALICE = Principal("alice", "htpasswd")
BOB = Principal("bob", "htpasswd")
ROOT = Principal("root", "htpasswd")


def policy(**rules: Any) -> AccessPolicy:
    """Compile rules written as in a file."""
    return AccessPolicy(AccessControlConfig.model_validate(rules))


TEAM = policy(
    repositories={
        "team/**": {
            "policies": [{"users": ["alice"], "actions": ["read", "create"]}, {"groups": ["ops"], "actions": ["read"]}],
            "anonymousPolicy": ["read"],
        },
        "**": {"defaultPolicy": ["read"]},
    },
    adminPolicy={"users": ["root"], "actions": ["read", "create", "update", "delete"]},
    groups={"ops": {"users": ["carol"]}},
)


def test_nothing_is_granted_without_a_rule() -> None:
    """An empty access control denies everybody everything."""
    for principal in (ALICE, ANONYMOUS):
        assert not policy().decide(principal, PullManifest(APP, V1)).allowed
        assert not policy().readable(principal, APP)


def test_a_decision_names_its_rule() -> None:
    """Each grant says which place in the configuration made it."""
    for principal, place in (
        (ALICE, 'repositories["team/**"].policies[0]'),
        (Principal("carol", "htpasswd"), 'repositories["team/**"].policies[1]'),
        (Principal("dave", "oidc", frozenset({"ops"})), 'repositories["team/**"].policies[1]'),
        (ANONYMOUS, 'repositories["team/**"].anonymousPolicy'),
        (ROOT, "adminPolicy"),
    ):
        decision = TEAM.decide(principal, PullManifest(APP, V1))
        assert decision.allowed
        assert decision.grants[0].rule == f"http.accessControl.{place}"


def test_a_refusal_says_what_is_missing() -> None:
    """The reason names who, the action, the place, and the rules that were looked at."""
    decision = TEAM.decide(ALICE, DeleteManifest(APP, V1))
    assert not decision.allowed
    assert decision.reason == (
        "'alice' needs delete on team/app v1; http.accessControl.repositories[\"team/**\"]: no rule grants it"
    )


def test_who_is_logged_in_does_not_inherit_what_anonymous_may() -> None:
    """The anonymous policy is for anonymous alone."""
    assert TEAM.decide(ANONYMOUS, PullManifest(APP, V1)).allowed
    assert not TEAM.decide(BOB, PullManifest(APP, V1)).allowed


def test_the_longest_pattern_holds_alone() -> None:
    """A shorter pattern that would grant is not asked."""
    assert TEAM.decide(BOB, PullManifest(OTHER, V1)).allowed
    assert not TEAM.decide(BOB, PullManifest(APP, V1)).allowed


@pytest.mark.parametrize(
    ("patterns", "place"),
    [
        (["**", "team/*", "team/app"], 2),
        (["team/ap*", "team/app"], 1),  # as long as the literal
        (["team/[a]pp", "team/app"], 0),  # longer than the literal
        (["team/a*p", "team/ap*"], 0),  # as long as each other
        (["{other,team}/**", "team/app"], 0),
        (["other"], None),
    ],
)
def test_of_matching_patterns_one_holds(patterns: list[str], place: int | None) -> None:
    """The longest, of two equally long ones the literal, then the one listed first."""
    assert Patterns(patterns).longest(APP) == place


def test_thousands_of_patterns_match_as_one_by_one() -> None:
    """The index over all patterns finds what asking each of them finds."""
    patterns = [form.format(number) for number in range(500) for form in ("t-{}/**", "a{}-*", "**/x{}", "q/{}/?")]
    index = Patterns(patterns)
    for name in ("t-7/a/b", "a499-b", "deep/er/x3", "q/12/z", "nothing", "t-7/x8"):
        repository = parse_repository(name)
        matching = [pattern for pattern in patterns if compile_glob(pattern).matches(name)]
        place = index.longest(repository)
        assert (patterns[place] if place is not None else None) == max(matching, key=len, default=None)


def test_groups_of_the_configuration_match_without_regard_to_case() -> None:
    """Their names are keys, which are read in lower case; groups that come with a login match exactly."""
    rules = policy(
        repositories={"**": {"policies": [{"groups": ["Ops"], "actions": ["read"]}]}},
        groups={"ops": {"users": ["carol"]}},
    )
    assert rules.readable(Principal("carol", "htpasswd"), APP)
    assert rules.readable(Principal("dave", "oidc", frozenset({"Ops"})), APP)
    assert not rules.readable(Principal("dave", "oidc", frozenset({"ops"})), APP)


def test_each_tag_that_a_push_moves_needs_its_own_right() -> None:
    """One tag without a right refuses the whole push, wherever the tag is named."""
    rules = policy(
        repositories={
            "**": {
                "policies": [
                    {
                        "users": ["alice"],
                        "actions": ["create"],
                        "conditions": [{"expression": "req.tag != 'v2'", "message": "v2 is closed"}],
                    }
                ]
            }
        }
    )
    assert rules.decide(ALICE, PushManifest(APP, DIGEST, (V1,))).allowed
    decision = rules.decide(ALICE, PushManifest(APP, DIGEST, (V1, V2)))
    assert not decision.allowed
    assert decision.message == "v2 is closed"
    assert decision.granted(V1) == {Action.CREATE}
    assert decision.granted(V2) == frozenset()


def test_a_digest_that_is_known_is_no_right_on_where_it_lies() -> None:
    """Whoever may push here still needs read there: that is what a mount asks for."""
    rules = policy(
        repositories={
            "team/**": {"policies": [{"users": ["alice"], "actions": ["read", "create"]}]},
            "other": {"policies": [{"users": ["bob"], "actions": ["read"]}]},
        }
    )
    assert rules.decide(ALICE, BeginUpload(APP, mount=DIGEST, source=OTHER)).allowed
    assert not rules.decide(ALICE, PullBlob(OTHER, DIGEST)).allowed


def test_what_is_in_no_repository_is_open_to_whoever_was_let_in() -> None:
    """The ping and the list of repositories need no right; the list is filtered."""
    assert TEAM.decide(BOB, Ping()).allowed
    assert TEAM.decide(BOB, ListRepositories()).allowed
    assert not TEAM.readable(BOB, APP)
    assert TEAM.readable(ANONYMOUS, APP)


def test_lists_show_what_may_be_read_whatever_the_reference() -> None:
    """A condition on the tag hides the repository from lists, one on the client's address is asked."""
    rules = policy(
        repositories={
            "team/**": {
                "policies": [
                    {"users": ["alice"], "actions": ["read"], "conditions": [{"expression": "req.tag == 'v1'"}]},
                ]
            },
            "other": {
                "policies": [
                    {"users": ["alice"], "actions": ["read"], "conditions": [{"expression": "req.client.ip == '::1'"}]},
                ]
            },
        }
    )
    assert rules.decide(ALICE, PullManifest(APP, V1)).allowed
    assert not rules.readable(ALICE, APP)
    assert rules.readable(ALICE, OTHER, RequestContext(client_ip="::1"))
    assert not rules.readable(ALICE, OTHER, RequestContext(client_ip="::2"))


def test_collisions_are_detected_for_who_has_the_action_but_no_admin() -> None:
    """The action makes deletes stricter; administrators are not held up, and without access control nobody is."""
    rules = policy(
        repositories={"**": {"defaultPolicy": ["read", "delete", "detectManifestCollision"]}},
        adminPolicy={"users": ["root"], "actions": ["delete", "detectManifestCollision"]},
    )
    assert rules.detects_collisions(ALICE, APP)
    assert not rules.detects_collisions(ROOT, APP)
    assert not rules.detects_collisions(ANONYMOUS, APP)
    assert not AllowAll().detects_collisions(ALICE, APP)


def test_metrics_are_for_the_users_named_and_for_anonymous_if_said() -> None:
    """An anonymous rule lets no user in that is not listed."""
    listed = policy(metrics={"users": ["alice"], "anonymousPolicy": ["read"]})
    assert listed.reads_metrics(ALICE)
    assert not listed.reads_metrics(BOB)
    assert listed.reads_metrics(ANONYMOUS)
    assert not policy(metrics={"users": ["alice"]}).reads_metrics(ANONYMOUS)
    assert not policy().reads_metrics(ROOT)


def test_scopes_narrow_what_their_owner_may() -> None:
    """An API key's scopes take away and never give; an administrator's key is no administrator."""
    scope = parse_scope("repository:team/**:pull")
    key = Principal("root", "apikey", scopes=(scope,))
    assert TEAM.decide(key, PullManifest(APP, V1)).allowed
    assert not TEAM.decide(key, DeleteManifest(APP, V1)).allowed
    assert not TEAM.decide(key, PullManifest(OTHER, V1)).allowed
    assert not TEAM.readable(key, OTHER)
    assert not TEAM.is_admin(key)
    assert TEAM.is_admin(ROOT)
    stranger = Principal("bob", "apikey", scopes=(scope,))
    assert not TEAM.decide(stranger, PullManifest(APP, V1)).allowed
    assert not AllowAll().decide(stranger, DeleteManifest(APP, V1)).allowed
    assert not AllowAll().is_admin(stranger)


def test_the_scopes_of_a_token_server_stand_in_place_of_access_control() -> None:
    """A bearer token's access entries grant by themselves, until they expire, and nothing beyond them."""
    name = compile_glob("team/app")
    token = Principal("root", "bearer", scopes=(ApiKeyScope(name, actions_of(["pull"])),))
    assert policy().decide(token, PullManifest(APP, V1)).allowed
    assert not TEAM.decide(token, PushManifest(APP, V1, (V1,))).allowed
    assert not TEAM.decide(token, PullManifest(OTHER, V1)).allowed
    assert not TEAM.is_admin(token)
    expired = Principal("root", "bearer", scopes=(ApiKeyScope(name, actions_of(["pull"]), time.time() - 1),))
    assert not TEAM.decide(expired, PullManifest(APP, V1)).allowed
    assert not TEAM.decide(Principal("root", "bearer", scopes=()), PullManifest(APP, V1)).allowed
    assert not AllowAll().decide(Principal("root", "bearer", scopes=()), PullManifest(APP, V1)).allowed


@pytest.mark.parametrize(
    "name", ["Team/App", "team/", "repository:", "repository::pull", "a b", "registry:a:pull", "team/["]
)
@pytest.mark.parametrize("actions", ["", ":", ":read", ":pull,fly", ":pull,"])
def test_what_is_no_scope_is_refused(name: str, actions: str) -> None:
    """A scope that would mean nothing is an error, so that no key is made that allows more than was meant."""
    with pytest.raises(InvalidScopeError):
        parse_scope(name + actions)


def test_the_pattern_of_a_scope_is_checked() -> None:
    """A broken or endless pattern is refused, before it is compiled where it is too long."""
    with pytest.raises(InvalidScopeError, match="class"):
        parse_scope("repository:team/[:pull")
    with pytest.raises(InvalidScopeError, match="characters"):
        parse_scope("repository:" + "a" * 600 + ":pull")


def test_immutable_tags_hold_for_everybody_but_the_groups_excepted() -> None:
    """By repository pattern and whole tag; administrators and bearer tokens are held to it as well."""
    rules = policy(
        immutableTags=[
            {"repositories": ["team/**"], "tags": ["v[0-9]+"], "exceptGroups": ["Release"]},
            {"repositories": ["other"]},
        ],
        groups={"release": {"users": ["carol"]}},
        adminPolicy={"users": ["root"], "actions": ["update"]},
    )
    scopes = (ApiKeyScope(compile_glob("team/app"), actions_of(["push"])),)
    tokens = [Principal(name, "bearer", scopes=scopes) for name in ("root", "carol")]
    for principal in (ALICE, ROOT, *tokens, ANONYMOUS):
        assert rules.immutable(principal, APP, V1)
        assert not rules.immutable(principal, APP, parse_tag("v1-rc"))
        assert rules.immutable_by(principal, OTHER, V1) == "http.accessControl.immutableTags[1]"
    assert not rules.immutable(Principal("carol", "htpasswd"), APP, V1)
    assert not rules.immutable(Principal("dave", "oidc", frozenset({"Release"})), APP, V1)
    assert rules.immutable(Principal("carol", "htpasswd"), OTHER, V1)


def test_broken_rules_are_refused_when_they_are_compiled() -> None:
    """A pattern or condition that can't be understood never decides."""
    with pytest.raises(ValueError, match="class"):
        policy(repositories={"team/[": {}})
    with pytest.raises(ValueError, match="undeclared"):
        policy(adminPolicy={"users": ["a"], "actions": ["read"], "conditions": [{"expression": "no.such"}]})
