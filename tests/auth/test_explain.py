"""A client learns its own rights, and of the rules those that grant."""

from __future__ import annotations

from zot.auth.decision import AllowAll
from zot.auth.explain import own_rights
from zot.auth.policy import AccessPolicy
from zot.auth.principal import Principal
from zot.config.access_control import AccessControlConfig
from zot.oci.names import Repository


def test_a_client_learns_what_it_may_and_no_rule_that_denies() -> None:
    rules = AccessControlConfig.model_validate(
        {"repositories": {"team/**": {"policies": [{"users": ["alice"], "actions": ["read", "delete"]}]}}}
    )
    alice = Principal("alice", "htpasswd")
    found = own_rights(AccessPolicy(rules), alice, Repository("team/app"))
    assert [(each.action.value, each.allowed) for each in found] == [
        ("read", True),
        ("create", False),
        ("update", False),
        ("delete", True),
    ]
    assert all("policies[0]" in each.rule for each in found if each.allowed)
    assert all(each.rule == "" for each in found if not each.allowed)
    assert all(each.allowed for each in own_rights(AllowAll(), alice, Repository("team/app")))
