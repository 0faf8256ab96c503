"""How many bytes a repository may hold."""

from zot.config.load import load_tree
from zot.oci.names import parse_repository
from zot.registry.build import _quotas


def test_the_first_pattern_that_matches_decides() -> None:
    """As with retention: exceptions stand before the rule; what matches none is not limited."""
    rules = [
        {"repositories": ["team/big", "other/big"], "bytes": 1000},
        {"repositories": ["team/**"], "bytes": 10},
    ]
    tree = {"storage": {"rootDirectory": "x", "quotas": rules, "maxRepos": 7}}
    quotas = _quotas(load_tree(tree).config)
    asked = {name: quotas.bytes_of(parse_repository(name)) for name in ("team/big", "other/big", "team/a/b", "free")}
    assert asked == {"team/big": 1000, "other/big": 1000, "team/a/b": 10, "free": None}
    assert quotas.repositories == 7


def test_without_rules_nothing_is_limited() -> None:
    """Neither bytes nor repositories."""
    quotas = _quotas(load_tree({"storage": {"rootDirectory": "x"}}).config)
    assert quotas.bytes_of(parse_repository("a")) is None
    assert quotas.repositories is None
