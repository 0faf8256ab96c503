"""The policy decides as the oracle does, on random rules and random requests."""

import random
from typing import Any

import pytest

from auth import policy_oracle
from zot.auth.decision import RequestContext
from zot.auth.policy import AccessPolicy
from zot.auth.principal import ANONYMOUS, Principal
from zot.config.access_control import AccessControlConfig
from zot.oci.names import as_tag, parse_reference, parse_repository
from zot.registry.request import Action, DeleteManifest, PullManifest, PushManifest

PATTERNS = ["**", "*", "team/**", "team/*", "team/app", "team/a?p", "team/ap*", "other", "o*", "**/app", "team/*/x"]
REPOSITORIES = ["team/app", "team/apa", "team/b/x", "other", "team", "deep/er/app", "o", "app"]
USERS = ["alice", "bob", "carol"]
GROUPS = ["ops", "dev", "qa"]
ACTIONS = [str(action) for action in Action]
REFERENCES = ["v1", "latest", "sha256:" + "a" * 64]
CLAIMS: list[dict[str, Any]] = [{}, {"team": "a"}, {"team": "b", "text": "true"}, {"text": True}, {"number": 1}]


def some(rng: random.Random, values: list[str], most: int = 3) -> list[str]:
    """Draw up to `most` of the values."""
    return rng.sample(values, rng.randint(0, min(most, len(values))))


def entry(rng: random.Random) -> dict[str, Any]:
    """Draw an entry of policies."""
    conditions = [{"expression": text} for text in some(rng, list(policy_oracle.CONDITIONS), 2)]
    return {
        "users": some(rng, USERS, 2),
        "groups": some(rng, GROUPS, 2),
        "actions": some(rng, ACTIONS),
        "conditions": conditions if rng.random() < 0.5 else [],
    }


def rules(rng: random.Random) -> dict[str, Any]:
    """Draw an access control section."""
    return {
        "repositories": {
            pattern: {
                "policies": [entry(rng) for _ in range(rng.randint(0, 3))],
                "defaultPolicy": some(rng, ACTIONS, 2),
                "anonymousPolicy": some(rng, ACTIONS, 2),
            }
            for pattern in rng.sample(PATTERNS, rng.randint(0, 5))
        },
        "adminPolicy": entry(rng) if rng.random() < 0.5 else {},
        "groups": {name: {"users": some(rng, USERS, 2)} for name in some(rng, GROUPS)},
    }


@pytest.mark.parametrize("seed", range(10))
def test_decisions_are_those_of_the_oracle(seed: int) -> None:
    """Whatever the rules, each right of a request is granted exactly where the oracle grants it."""
    rng = random.Random(seed)
    for _ in range(60):
        config = rules(rng)
        policy = AccessPolicy(AccessControlConfig.model_validate(config))
        for _ in range(25):
            _compare(rng, config, policy)


def _compare(rng: random.Random, config: dict[str, Any], policy: AccessPolicy) -> None:
    user = rng.choice([*USERS, None])
    groups = some(rng, GROUPS, 2) if user else []
    claims = rng.choice(CLAIMS) if user else {}
    principal = ANONYMOUS if user is None else Principal(user, "oidc", frozenset(groups), claims)
    repository = parse_repository(rng.choice(REPOSITORIES))
    reference = parse_reference(rng.choice(REFERENCES))
    tag = as_tag(reference)
    request = rng.choice(
        [
            PullManifest(repository, reference),
            PushManifest(repository, reference, (tag,) if tag else ()),
            DeleteManifest(repository, reference),
        ]
    )
    context = RequestContext(method=rng.choice(["GET", "PUT"]), client_ip=rng.choice(["10.0.0.1", "10.0.0.9"]))
    decision = policy.decide(principal, request, context)

    def expected(action: str, asked_reference: str) -> bool:
        asked = policy_oracle.Asked(
            user, groups, action, repository, asked_reference, context.method, context.client_ip, claims
        )
        return policy_oracle.allows(config, asked)

    for grant in decision.grants:
        wanted = {action for action in grant.right.actions if expected(action, str(grant.right.reference))}
        assert grant.actions == wanted, (config, principal, request, decision)
    assert decision.allowed == all(grant.actions for grant in decision.grants)
    assert policy.readable(principal, repository, context) == expected("read", "")
