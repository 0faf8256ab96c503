"""Features that the build lacks are refused, never silently ignored."""

from __future__ import annotations

from typing import Any

import pytest

from zot.config.errors import ConfigurationError
from zot.config.load import load_tree
from zot.config.model import Config
from zot.config.supported import FEATURES, enabled_features, refuse_unbuilt

ROOT = {"rootDirectory": "/data"}
RULES = {"repositories": {"**": {"anonymousPolicy": ["read"]}}}
OIDC = {"issuer": "https://i", "audiences": ["a"]}
S3 = {"storageDriver": {"name": "s3", "bucket": "b"}, "dedupe": False}
SBOM = {"search": {"cve": {"trivy": {"sbom": {"enable": True}}}}}
PROVIDER = {"clientid": "i", "issuer": "https://i", "scopes": ["openid"]}

ENABLING = [
    ({"storage": {**ROOT, "gc": True}}, {"storage.gc"}),
    ({"storage": {**ROOT, "retention": {"policies": [{"repositories": ["a"]}]}}}, {"storage.retention"}),
    ({"storage": {**ROOT, "maxRepos": 5}}, {"storage.maxRepos"}),
    ({"storage": {**ROOT, "quotas": [{"repositories": "a", "bytes": 1}]}}, {"storage.quotas"}),
    ({"storage": {**ROOT, **S3}}, {"storage.storageDriver.name=s3"}),
    ({"http": {"auth": {"htpasswd": {"path": "x"}}}}, {"http.auth.htpasswd"}),
    ({"http": {"auth": {"openid": {"providers": {"oidc": PROVIDER}}}}}, {"http.auth.openid"}),
    ({"http": {"auth": {"bearer": {"oidc": [OIDC]}}}}, {"http.auth.bearer", "http.auth.bearer.oidc"}),
    ({"http": {"auth": {"sessionDriver": {"name": "redis"}}}}, {"http.auth.sessionDriver.name=redis"}),
    ({"http": {"accessControl": RULES}}, {"http.accessControl"}),
    ({"extensions": {"search": {}}}, {"extensions.search"}),
    ({"extensions": {"metrics": {}}}, {"extensions.metrics"}),
    ({"extensions": SBOM}, {"extensions.search", "extensions.search.cve", "extensions.search.cve.trivy.sbom"}),
    ({"cluster": {"members": ["a:1"], "hashKey": "0123456789abcdef"}}, {"cluster"}),
]

DISABLED = [
    {},
    {"storage": {**ROOT, "gc": False, "retention": {}, "maxRepos": 0, "quotas": []}},
    {"http": {"auth": {"htpasswd": {}, "apikey": False, "sessionDriver": {"name": "local"}}}},
    {"extensions": {"search": {"enable": False, "cve": {}}, "sync": {"enable": False}, "events": {}, "lint": {}}},
    {"scheduler": {}},
]


def config_of(tree: dict[str, Any]) -> Config:
    """Load `tree`, with a default root directory."""
    return load_tree({"storage": ROOT, **tree}).config


@pytest.mark.parametrize(("tree", "features"), ENABLING)
def test_enabled_features(tree: dict[str, Any], features: set[str]) -> None:
    """A configured feature is named by the path of its key, and refused by that name if the build lacks it."""
    config = config_of(tree)
    assert enabled_features(config) == features
    refuse_unbuilt(config, frozenset(FEATURES))
    for missing in features:
        with pytest.raises(
            ConfigurationError, match=rf"lacks the feature that the key enables \({missing.partition('=')[0]}"
        ):
            refuse_unbuilt(config, frozenset(FEATURES) - {missing})


@pytest.mark.parametrize("tree", DISABLED)
def test_disabled_features_are_accepted(tree: dict[str, Any]) -> None:
    """Defaults, and disabled or empty sections, enable no feature."""
    config = config_of(tree)
    assert enabled_features(config) == set()
    refuse_unbuilt(config, frozenset())


def test_sub_paths_are_checked() -> None:
    """A feature that only a sub-path enables is refused with the sub-path's key."""
    config = config_of({"storage": {**ROOT, "subPaths": {"/a": {"rootDirectory": "/a", "gc": True}}}})
    with pytest.raises(ConfigurationError, match=r'storage\.subPaths\["/a"\]\.gc'):
        refuse_unbuilt(config, frozenset())


def test_the_default_configuration_is_accepted() -> None:
    """The default configuration needs search and pages, and no other optional feature."""
    refuse_unbuilt(Config.default(), frozenset({"extensions.search", "extensions.ui"}))


def test_unknown_features_are_a_programming_error() -> None:
    """A build that claims an unknown feature is an AssertionError."""
    with pytest.raises(AssertionError, match=r"no such feature: storage.teleport"):
        refuse_unbuilt(Config.default(), frozenset({"storage.teleport"}))
