"""Each principal sees what the policy lets it read, whatever was computed before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, cast

import pytest
from msgspec.structs import replace

from zot.auth.decision import NO_CONTEXT, AllowAll, RequestContext
from zot.auth.policy import AccessPolicy
from zot.auth.principal import ANONYMOUS, Principal
from zot.auth.scopes import parse_scope
from zot.config.access_control import AccessControlConfig
from zot.extensions.search.interface import Search
from zot.extensions.search.visibility import VisibleRepositories
from zot.foundation.threads import ThreadPool
from zot.oci.names import Repository

NAMES = [
    Repository(f"{team}/{name}{number}") for team in ("a", "b", "c") for name in ("x", "y") for number in range(30)
]
PATTERNS = ["**", "a/**", "b/*", "a/x*", "c/y1", "*/y?"]
CONDITIONS = [
    "req.repository.startsWith('a/')",
    "req.user.username == 'ada'",
    "req.client.ip == '192.0.2.1'",
    "req.method == 'GET'",
    "'ops' in req.user.groups",
    "'team' in req.claims",
    "req.time > timestamp('2020-01-01T00:00:00Z')",
]
PRINCIPALS = [
    ANONYMOUS,
    Principal("ada", "htpasswd"),
    Principal("ada", "htpasswd", frozenset({"ops"})),
    Principal("bob", "oidc", claims={"team": "a"}),
    Principal("bob", "oidc", claims={"other": "a"}),
    Principal("ada", "apikey", scopes=(parse_scope("repository:a/*:pull"),)),
    Principal("ada", "apikey", scopes=(parse_scope("repository:b/*:pull"),)),
    Principal("root", "htpasswd"),
]
CONTEXTS = [
    RequestContext("GET", "", "192.0.2.1"),
    RequestContext("POST", "", "192.0.2.1"),
    RequestContext("GET", "", "192.0.2.2"),
]


class Names:
    """The names that an index has."""

    def __init__(self) -> None:
        self.current: frozenset[Repository] = frozenset()

    async def names(self) -> frozenset[Repository]:
        """See `Search`."""
        return self.current


class Counted(AccessPolicy):
    """A policy that counts its decisions."""

    decisions = 0

    def readable(self, principal: Principal, repository: Repository, context: RequestContext = NO_CONTEXT) -> bool:
        """See `Policy`."""
        self.decisions += 1
        return super().readable(principal, repository, context)


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Return threads for many decisions."""
    threads = ThreadPool("queries", 1, 16)
    yield threads
    threads.close()


def random_rules(rng: random.Random) -> AccessControlConfig:
    """Draw rules, half of them with conditions."""

    def policy() -> dict[str, Any]:
        conditions = [{"expression": each} for each in rng.sample(CONDITIONS, 1)] if rng.random() < 0.5 else []
        return {"users": ["ada"], "groups": ["ops"], "actions": ["read"], "conditions": conditions}

    repositories = {
        pattern: {
            "policies": [policy()] if rng.random() < 0.7 else [],
            "defaultPolicy": ["read"] if rng.random() < 0.3 else [],
            "anonymousPolicy": ["read"] if rng.random() < 0.3 else [],
        }
        for pattern in rng.sample(PATTERNS, 3)
    }
    admin = {"users": ["root"], "actions": ["read"]} if rng.random() < 0.5 else {}
    return AccessControlConfig.model_validate({"repositories": repositories, "adminPolicy": admin})


@pytest.mark.parametrize("seed", range(10))
async def test_it_is_what_the_policy_decides(seed: int, pool: ThreadPool) -> None:
    """For random rules, principals and contexts, while repositories come and go."""
    rng = random.Random(seed)
    policy = AccessPolicy(random_rules(rng))
    index = Names()
    visible = VisibleRepositories(policy, cast("Search", index), pool)
    for _ in range(30):
        if rng.random() < 0.3:
            index.current = frozenset(rng.sample(NAMES, rng.randint(0, len(NAMES))))
        principal, context = rng.choice(PRINCIPALS), rng.choice(CONTEXTS)
        names = await visible.of(principal, context)
        shown = index.current if names is None else names
        assert set(shown) == {name for name in index.current if policy.readable(principal, name, context)}


async def test_a_repository_is_decided_on_once(pool: ThreadPool) -> None:
    """A push to a new repository costs one decision for each principal, not all of them again."""
    policy = Counted(AccessControlConfig.model_validate({"repositories": {"a/**": {"anonymousPolicy": ["read"]}}}))
    index = Names()
    visible = VisibleRepositories(policy, cast("Search", index), pool)
    index.current = frozenset(NAMES)
    first = await visible.of(ANONYMOUS)
    assert policy.decisions == len(NAMES)
    assert await visible.of(ANONYMOUS) is first
    assert policy.decisions == len(NAMES)
    index.current = frozenset([*NAMES[1:], Repository("a/new")])
    assert set(await visible.of(ANONYMOUS) or ()) == {name for name in index.current if name.startswith("a/")}
    assert policy.decisions == len(NAMES) + 1


async def test_principals_with_the_same_rights_share_a_set(pool: ThreadPool) -> None:
    """The index computes for a set of names, not for a principal."""
    policy = AccessPolicy(AccessControlConfig.model_validate({"repositories": {"a/**": {"defaultPolicy": ["read"]}}}))
    index = Names()
    index.current = frozenset(NAMES)
    visible = VisibleRepositories(policy, cast("Search", index), pool)
    assert await visible.of(Principal("ada", "htpasswd")) is await visible.of(Principal("bob", "htpasswd"))


async def test_a_decision_that_depends_on_the_time_is_made_again(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scope that ends hides what it showed, a second later at most."""
    monkeypatch.setattr("zot.extensions.search.visibility._TIMED_S", 0.0)
    index = Names()
    index.current = frozenset(NAMES)
    visible = VisibleRepositories(AllowAll(), cast("Search", index), pool)
    scope = replace(parse_scope("repository:a/*:pull"), expires_s=2_000_000_000.0)
    principal = Principal("ada", "apikey", scopes=(scope,))
    monkeypatch.setattr("zot.auth.scopes.time.time", lambda: 1_999_999_999.0)
    assert set(await visible.of(principal) or ()) == {name for name in NAMES if name.startswith("a/")}
    monkeypatch.setattr("zot.auth.scopes.time.time", lambda: 2_000_000_001.0)
    assert await visible.of(principal) == frozenset()
