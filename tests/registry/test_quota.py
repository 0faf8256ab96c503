"""Which quotas hold for a repository."""

from __future__ import annotations

from typing import Any

from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.config.load import load_tree
from zot.oci.names import parse_repository
from zot.registry.build import _quotas
from zot.registry.quota import Quotas, exceeded


def quotas(*rules: dict[str, Any]) -> Quotas:
    """Return the quotas of a configuration."""
    return _quotas(load_tree({"storage": {"rootDirectory": "x", "quotas": list(rules), "maxRepos": 7}}).config)


def test_every_total_holds_that_a_repository_is_part_of() -> None:
    """One quota for the team lies within that for everybody."""
    known = quotas({"repositories": ["team/**", "crew"], "bytes": 10}, {"repositories": ["**"], "bytes": 1000})
    everybody = RepositoryQuota(1000, ("**",))
    assert known.of(parse_repository("team/a")) == (RepositoryQuota(10, ("team/**", "crew")), everybody)
    assert known.of(parse_repository("other")) == (everybody,)
    assert known.repositories == 7


def test_of_limits_for_each_the_first_that_matches_holds() -> None:
    """As with retention: exceptions stand before the rule; totals hold beside it."""
    known = quotas(
        {"repositories": ["team/big", "other/big"], "bytes": 1000, "each": True},
        {"repositories": ["team/**"], "bytes": 10, "each": True},
        {"repositories": ["team/**"], "bytes": 500},
    )
    asked = {name: known.of(parse_repository(name)) for name in ("team/big", "other/big", "team/a/b", "free")}
    team = RepositoryQuota(500, ("team/**",))
    assert asked == {
        "team/big": (RepositoryQuota(1000), team),
        "other/big": (RepositoryQuota(1000),),
        "team/a/b": (RepositoryQuota(10), team),
        "free": (),
    }


def test_without_rules_nothing_is_limited() -> None:
    """Neither bytes nor repositories."""
    known = _quotas(load_tree({"storage": {"rootDirectory": "x"}}).config)
    assert known.of(parse_repository("a")) == ()
    assert known.repositories is None


def test_a_refusal_says_what_is_left() -> None:
    """Nothing is left of a limit that was made smaller than what is there."""
    app = parse_repository("team/app")
    error = exceeded(app, OverQuota(10, 7, of_repositories=False, patterns=("team/**", "crew")))
    assert str(error) == "the quota of 10 bytes for team/**, crew has 3 bytes left"
    assert error.detail == {
        "name": app,
        "limit": "10",
        "left": "3",
        "description": str(error),
    }
    assert str(exceeded(app, OverQuota(10, 12, of_repositories=False))) == "the quota of 10 bytes has 0 bytes left"
