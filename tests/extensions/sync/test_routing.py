"""Local names and tags map to those of an upstream, as `content` says."""

from __future__ import annotations

from typing import Any

import pytest

from zot.config.sync import ContentConfig
from zot.extensions.sync.routing import Routes
from zot.oci.names import parse_reference, parse_repository


def routes(*content: dict[str, Any]) -> Routes:
    """Return the routes of some rules."""
    return Routes([ContentConfig.model_validate(each) for each in content])


@pytest.mark.parametrize(
    ("content", "local", "remote"),
    [
        ({"prefix": "**"}, "a/b", "a/b"),
        ({"prefix": "/a/**"}, "a/b", "a/b"),
        ({"prefix": "a/**"}, "b/b", None),
        ({"prefix": "a/*"}, "a/b/c", None),
        ({"prefix": "**", "destination": "/docker.io"}, "docker.io/library/nginx", "library/nginx"),
        ({"prefix": "**", "destination": "/docker.io"}, "docker.iox/library/nginx", None),
        ({"prefix": "**", "destination": "/docker.io"}, "docker.io", None),
        ({"prefix": "tools/**", "destination": "/mirrored", "stripPrefix": True}, "mirrored/x/y", "tools/x/y"),
        ({"prefix": "tools/**", "destination": "/mirrored"}, "mirrored/tools/x", "tools/x"),
        ({"prefix": "tools/**", "destination": "/", "stripPrefix": True}, "x", "tools/x"),
        ({"prefix": "a/b", "destination": "/c", "stripPrefix": True}, "c", "a/b"),
        ({"prefix": "**", "stripPrefix": True}, "a/b", "a/b"),
    ],
)
def test_names(content: dict[str, Any], local: str, remote: str | None) -> None:
    """The upstream name is the local one without destination, and with the prefix that was stripped."""
    assert routes(content).remote(parse_repository(local)) == remote


def test_without_content_names_are_the_same() -> None:
    """All repositories of the upstream are mirrored under their names."""
    assert Routes([]).remote(parse_repository("a/b"), parse_reference("x")) == "a/b"


@pytest.mark.parametrize(
    ("tags", "tag", "mirrored"),
    [
        ({"regex": r"^3\..*"}, "3.1", True),
        ({"regex": r"^3\..*"}, "4.1", False),
        ({"regex": r"^3\..*"}, f"sha256-{'1' * 64}.sig", True),
        ({"regex": r"^3\..*"}, f"sha256:{'1' * 64}", True),
        ({"excludeRegex": ".*-amd64"}, "3-amd64", False),
        ({"semver": True}, "v1.2.3-rc.1", True),
        ({"semver": True}, "latest", False),
        ({"regex": "^1", "excludeRegex": "x$"}, "1x", False),
    ],
)
def test_tags(tags: dict[str, Any], tag: str, mirrored: bool) -> None:
    """A tag has to satisfy the filters; digests, and tags that attach something to a digest, need not."""
    found = routes({"prefix": "**", "tags": tags}).remote(parse_repository("a/b"), parse_reference(tag))
    assert found == ("a/b" if mirrored else None)


def test_each_rule_filters_by_itself() -> None:
    """A tag that one rule of a repository refuses is mirrored if a later one takes it."""
    found = routes({"prefix": "a/**", "tags": {"regex": "^1"}}, {"prefix": "a/b", "tags": {"regex": "^2"}})
    assert found.remote(parse_repository("a/b"), parse_reference("2")) == "a/b"
    assert found.remote(parse_repository("a/c"), parse_reference("2")) is None
