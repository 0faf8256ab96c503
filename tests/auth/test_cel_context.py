"""What conditions see is found out when they look at it, once a decision, and separately where it differs."""

from collections import Counter
from typing import Any

import pytest

from zot.auth import cel
from zot.auth.cel import CelData, Expression
from zot.auth.cel_context import ACTION_VARIABLES, RIGHT_VARIABLES, VALUES, CelContext
from zot.auth.decision import RequestContext
from zot.auth.policy import AccessPolicy
from zot.auth.principal import Principal
from zot.config.access_control import AccessControlConfig
from zot.oci.digest import digest_of
from zot.oci.names import Tag, parse_repository, parse_tag
from zot.registry.request import Action, PullManifest, PushManifest

APP = parse_repository("team/app")
V1, V2 = parse_tag("v1"), parse_tag("v2")
DIGEST = digest_of(b"content")
ALICE = Principal("alice", "htpasswd", frozenset({"ops", "dev"}), {"ref": "main"})
OFFICE = RequestContext("PUT", "crane", "10.0.0.1", ("192.0.2.1",), "TLSv1.3")


def policy(*conditions: str) -> AccessPolicy:
    """Compile rules by which alice may push under the conditions."""
    entry: dict[str, Any] = {
        "users": ["alice"],
        "actions": ["read", "create", "update"],
        "conditions": [{"expression": text} for text in conditions],
    }
    return AccessPolicy(AccessControlConfig.model_validate({"repositories": {"**": {"policies": [entry]}}}))


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each expression is evaluated."""
    counted: Counter[str] = Counter()
    holds = Expression.is_true

    def counting(self: Expression, data: CelData) -> bool:
        counted[self.text] += 1
        return holds(self, data)

    monkeypatch.setattr(Expression, "is_true", counting)
    return counted


def test_every_name_of_a_condition_has_a_fact() -> None:
    """What may be named when rules are loaded is known when they are asked."""
    assert set(VALUES) == set(cel.REQUEST_VARIABLES)
    assert set(VALUES) > ACTION_VARIABLES | RIGHT_VARIABLES


@pytest.mark.parametrize(
    "text",
    [
        "req.method == 'PUT' && req.userAgent == 'crane' && req.client.ip == '10.0.0.1'",
        "req.client.forwardedFor == ['192.0.2.1'] && req.tls.enabled && req.tls.version == 'TLSv1.3'",
        "req.user.username == 'alice' && req.user.groups == ['dev', 'ops'] && req.claims.ref == 'main'",
        "!req.auth.anonymous && !req.auth.admin && req.time > timestamp('2026-01-01T00:00:00Z')",
        "req.repository == 'team/app' && req.reference == 'v1' && req.referenceType == 'tag'",
        "req.action == 'read' && req.tag == 'v1' && req.digest == ''",
    ],
)
def test_a_condition_sees_the_request(text: str) -> None:
    """Every name has the value that the request has."""
    assert policy(text).decide(ALICE, PullManifest(APP, V1), OFFICE).allowed


def test_a_digest_is_no_tag_and_no_reference_is_neither() -> None:
    """The names of the reference say which of both it is."""
    by_digest = policy(f"req.referenceType == 'digest' && req.digest == '{DIGEST}' && req.tag == ''")
    assert by_digest.decide(ALICE, PullManifest(APP, DIGEST)).allowed
    assert policy("req.referenceType + req.reference + req.tag + req.digest == ''").readable(ALICE, APP)


def test_what_is_the_same_for_all_rights_is_asked_once(evaluated: Counter[str]) -> None:
    """A push that may create or move two tags asks the address once, and the tag once a tag."""
    address, tag = "req.client.ip == '10.0.0.1'", "req.tag != 'v2'"
    both = PushManifest(APP, DIGEST, (V1, V2))
    assert policy(address).decide(ALICE, both, OFFICE).allowed
    assert not policy(tag).decide(ALICE, both, OFFICE).allowed
    assert evaluated == {address: 1, tag: 3}


def test_what_differs_is_asked_for_each(evaluated: Counter[str]) -> None:
    """A condition on the action or the tag grants those for which it is true, whatever was asked before."""
    decision = policy("req.action == 'create'").decide(ALICE, PushManifest(APP, V1, (V1,)), OFFICE)
    assert decision.granted(V1) == {Action.CREATE}
    granted = policy("req.tag == 'v1'").decide(ALICE, PushManifest(APP, DIGEST, (V1, V2)), OFFICE)
    assert _granted(granted.granted(V1), V1) | _granted(granted.granted(V2), V2) == {V1}
    assert evaluated.total() == 2 + 3


def _granted(actions: frozenset[Action], tag: Tag) -> set[Tag]:
    return {tag} if actions else set()


def test_time_stands_still_during_a_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """All conditions of a decision see the same moment."""
    seen: list[object] = []
    now = VALUES["req.time"]

    def noted(of: CelContext) -> object:
        seen.append(now(of))
        return seen[-1]

    monkeypatch.setitem(VALUES, "req.time", noted)
    conditions = ("req.time.getFullYear() > 2000", "req.tag == req.tag && req.time > timestamp(0)")
    assert policy(*conditions).decide(ALICE, PushManifest(APP, DIGEST, (V1, V2))).allowed
    assert len(seen) == 6
    assert len(set(seen)) == 1
