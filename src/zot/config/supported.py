"""Refusal of configured features that this build lacks: none is silently ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zot.config.model import Config

# Features by the path of the key that enables them, or by path and value (`=`).
FEATURES = (
    "storage.gc",
    "storage.retention",
    "storage.maxRepos",
    "storage.redirectBlobURL",
    "storage.storageDriver.name=s3",
    "storage.storageDriver.name=gcs",
    "storage.storageDriver.name=azure",
    "storage.cacheDriver.name=postgres",
    "storage.cacheDriver.name=redis",
    "storage.cacheDriver.name=dynamodb",
    "storage.quotas",
    "storage.readOnly",
    "http.tls",
    "http.ratelimit",
    "http.unixSocket",
    "http.auth.htpasswd",
    "http.auth.ldap",
    "http.auth.bearer",
    "http.auth.bearer.awsSecretsManager",
    "http.auth.bearer.oidc",
    "http.auth.bearer.upstreamTokenEndpoint",
    "http.auth.openid",
    "http.auth.apikey",
    "http.auth.mtls",
    "http.auth.failDelay",
    "http.auth.sessionDriver.name=redis",
    "http.accessControl",
    "http.accessControl.immutableTags",
    "log.audit",
    "extensions.search",
    "extensions.search.cve",
    "extensions.search.cve.trivy.sbom",
    "extensions.ui",
    "extensions.metrics",
    "extensions.scrub",
    "extensions.lint",
    "extensions.trust",
    "extensions.events",
    "extensions.sync",
    "extensions.sync.registries.credentialHelper",
    "extensions.sync.registries.onlySigned",
    "extensions.sync.registries.pollInterval",
    "scheduler",
    "cluster",
)


def refuse_unbuilt(config: Config, built: frozenset[str]) -> None:
    """Raise ConfigurationError with every key of `config` that enables a feature not in `built`.

    `built` is a subset of FEATURES; another name is a programming error, an AssertionError. A disabled feature
    (`enable: false`, false, 0, empty) and a default enable nothing.
    """
    assert built <= set(FEATURES), f"no such feature: {', '.join(sorted(built - set(FEATURES)))}"
    problems = [
        ConfigProblem("this build lacks the feature that the key enables", key, "remove the key")
        for feature in FEATURES
        if feature not in built
        for key in _enabling_keys(config, feature)
    ]
    if problems:
        raise ConfigurationError(*problems)


def enabled_features(config: Config) -> frozenset[str]:
    """Return the features that the configuration enables."""
    return frozenset(feature for feature in FEATURES if any(_enabling_keys(config, feature)))


def _enabling_keys(config: Config, feature: str) -> Iterator[str]:
    """Iterate over the paths of the keys that enable a feature, in the main store and in sub-paths."""
    path, _, wanted = feature.partition("=")
    names = path.split(".")
    if _enables(config, names, wanted):
        yield path
    if names[0] == "storage":
        for route, store in config.storage.sub_paths.items():
            if _enables(store, names[1:], wanted):
                yield f'storage.subPaths["{route}"].{".".join(names[1:])}'


def _enables(value: Any, names: list[str], wanted: str) -> bool:
    for i, name in enumerate(names):
        if isinstance(value, tuple):
            return any(_enables(each, names[i:], wanted) for each in value)
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, Section):
            value = _given(value, name)
        if not value or (isinstance(value, Section) and getattr(value, "enable", True) is False):
            return False
    return value == wanted if wanted else True


def _given(section: Section, alias: str) -> Any:
    """Return the value of a key in the file; None for a default, and for an empty object with defaults.

    An object that is absent by default enables its feature even if empty: `search: {}` does, `retention: {}` does not.
    """
    for name, field in type(section).model_fields.items():
        if field.alias == alias and name in section.model_fields_set:
            value = getattr(section, name)
            return None if isinstance(field.default, Section) and not value.model_fields_set else value
    return None
