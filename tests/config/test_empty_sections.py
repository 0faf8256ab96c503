"""Empty sections of access control are ignored, as in zot."""

from typing import Any

import pytest

from zot.config.load import load_tree


def rules(section: Any) -> Any:
    """Return the access control of a configuration with this section."""
    http = {"auth": {"apikey": True}, "accessControl": section}
    return load_tree({"storage": {"rootDirectory": "/tmp/x"}, "http": http}).config.http.access_control


@pytest.mark.parametrize(
    "section",
    [
        None,
        {},
        {"repositories": {}},
        {"repositories": {"**": {}}},
        {"Repositories": {"a": {}, "b": {"policies": None}}},
        {"adminPolicy": {}, "groups": {}, "metrics": {}},
        {"groups": {"devs": {}}},
    ],
)
def test_a_section_without_any_value_is_no_access_control(section: Any) -> None:
    """A section of empty sections, at any depth, is no access control."""
    assert rules(section) is None


@pytest.mark.parametrize(
    "section",
    [
        {"repositories": {"**": {"policies": []}}},
        {"repositories": {"**": {"anonymousPolicy": []}}},
        {"adminPolicy": {"users": []}},
        {"metrics": {"users": []}},
        {"groups": {"devs": {"users": []}}},
    ],
)
def test_an_empty_list_is_a_rule(section: Any) -> None:
    """An empty list is kept as a rule that grants no action."""
    assert rules(section) is not None


def test_an_empty_pattern_is_ignored() -> None:
    """A pattern without rules is ignored, so that another pattern applies to its repositories."""
    held = rules({"repositories": {"a/**": {}, "**": {"defaultPolicy": ["read"]}}})
    assert list(held.repositories) == ["**"]
