"""A reload applies reloadable keys and names the others."""

from __future__ import annotations

from typing import Any

import pytest

from zot.config.errors import ConfigurationError
from zot.config.load import load_tree
from zot.config.model import Config
from zot.config.reload_diff import changes
from zot.config.secret_files import LdapCredentials, Secrets, SessionKeys

ROOT = {"rootDirectory": "/data"}
RULES = {"repositories": {"**": {"anonymousPolicy": ["read"]}}}
SYNC = {"registries": [{"urls": ["https://upstream"]}]}


def config_of(tree: dict[str, Any]) -> Config:
    """Load `tree`, with a default root directory."""
    return load_tree({"storage": ROOT, **tree}).config


def sub_paths(**stores: Any) -> dict[str, Any]:
    """Return a configuration with these sub-paths."""
    return {
        "storage": {
            **ROOT,
            "subPaths": {f"/{name}": {"rootDirectory": f"/{name}", **store} for name, store in stores.items()},
        }
    }


RELOADED = [
    ({"storage": {**ROOT, "gc": False}}, "storage.gc"),
    ({"storage": {**ROOT, "gcInterval": "5m"}}, "storage.gcInterval"),
    ({"storage": {**ROOT, "gcTimeWindow": "01:00-02:00"}}, "storage.gcTimeWindow"),
    ({"storage": {**ROOT, "dedupe": False}}, "storage.dedupe"),
    ({"storage": {**ROOT, "retention": {"policies": [{"repositories": ["a"]}]}}}, "storage.retention.policies"),
    ({"storage": {**ROOT, "quotas": [{"repositories": ["a"], "bytes": 1}]}}, "storage.quotas"),
    ({"http": {"accessControl": RULES}}, "http.accessControl"),
    ({"http": {"auth": {"htpasswd": {"path": "/etc/htpasswd"}}}}, "http.auth.htpasswd"),
    ({"http": {"auth": {"apikey": True}}}, "http.auth.apikey"),
    ({"http": {"auth": {"secureSession": True}}}, "http.auth.secureSession"),
    ({"extensions": {"scrub": {}}}, "extensions.scrub"),
    ({"extensions": {"sync": SYNC}}, "extensions.sync"),
]

IGNORED = [
    ({"storage": {"rootDirectory": "/other"}}, "storage.rootDirectory"),
    ({"storage": {**ROOT, "commit": False}}, "storage.commit"),
    ({"storage": {**ROOT, "maxRepos": 3}}, "storage.maxRepos"),
    ({"http": {"port": "1"}}, "http.port"),
    ({"http": {"tls": {"cert": "c", "key": "k"}}}, "http.tls"),
    ({"http": {"auth": {"failDelay": 3}}}, "http.auth.failDelay"),
    ({"http": {"auth": {"sessionDriver": {"name": "local"}}}}, "http.auth.sessionDriver"),
    ({"http": {"workers": 3}}, "http.workers"),
    ({"log": {"level": "error"}}, "log.level"),
    ({"extensions": {"search": {}}}, "extensions.search"),
    ({"extensions": {"lint": {"enable": True}}}, "extensions.lint"),
    ({"scheduler": {"numWorkers": 3}}, "scheduler.numWorkers"),
]


@pytest.mark.parametrize(("tree", "key"), RELOADED)
def test_reloadable_keys_take_effect(tree: dict[str, Any], key: str) -> None:
    """A changed reloadable key takes effect and is named, and can be changed back."""
    before, after = config_of({}), config_of(tree)
    found = changes(before, after)
    assert key in found.reloaded
    assert found.ignored == ()
    assert found.config == after
    assert changes(found.config, before).config == before


@pytest.mark.parametrize(("tree", "key"), IGNORED)
def test_other_keys_wait_for_a_restart(tree: dict[str, Any], key: str) -> None:
    """Another changed key is named as ignored, and its running value stays."""
    before = config_of({})
    found = changes(before, config_of(tree))
    assert (found.reloaded, found.ignored) == ((), (key,))
    assert found.config == before


def test_no_change() -> None:
    """An unchanged configuration has no effect."""
    found = changes(config_of(sub_paths(a={})), config_of(sub_paths(a={})))
    assert (found.reloaded, found.ignored) == ((), ())


def test_keys_below_another_key_can_be_reloadable() -> None:
    """Scans are reloaded although `search` itself needs a restart."""
    before = config_of({"extensions": {"search": {}}})
    found = changes(before, config_of({"extensions": {"search": {"cve": {"updateInterval": "5h"}}, "lint": {}}}))
    assert (found.reloaded, found.ignored) == (("extensions.search.cve",), ("extensions.lint",))
    assert found.config.extensions.search is not None
    assert found.config.extensions.search.cve is not None


def test_sub_paths() -> None:
    """Keys of existing sub-paths are reloaded; added and removed sub-paths need a restart."""
    before = config_of(sub_paths(a={}, b={}))
    found = changes(before, config_of(sub_paths(a={"gc": True}, c={})))
    assert 'storage.subPaths["/a"].gc' in found.reloaded
    assert found.ignored == ('storage.subPaths["/b"]', 'storage.subPaths["/c"]')
    assert list(found.config.storage.sub_paths) == ["/a", "/b"]
    assert found.config.storage.sub_paths["/a"].gc


def test_secrets() -> None:
    """LDAP credentials are reloaded; session keys need a restart, since new ones would end all sessions."""
    old = Secrets(session_keys=SessionKeys.model_validate({"hashKey": "a"}))
    ldap = LdapCredentials.model_validate({"bindDN": "cn", "bindPassword": "p"})
    new = Secrets(ldap=ldap, session_keys=SessionKeys.model_validate({"hashKey": "b"}))
    config = config_of({})
    found = changes(config.with_secrets(old), config.with_secrets(new))
    assert found.reloaded == ("http.auth.ldap.credentialsFile",)
    assert found.ignored == ("http.auth.sessionKeysFile",)
    assert found.config.secrets == Secrets(ldap=ldap, session_keys=old.session_keys)


def test_a_reload_that_breaks_a_rule_is_refused() -> None:
    """Rules about users are refused while the authentication method that they need awaits a restart."""
    bearer = {"realm": "r", "service": "s", "cert": "c"}
    rules = {"repositories": {"**": {"defaultPolicy": ["read"]}}}
    after = config_of({"http": {"auth": {"bearer": bearer}, "accessControl": rules}})
    with pytest.raises(ConfigurationError, match="access control config requires one of"):
        changes(config_of({}), after)
