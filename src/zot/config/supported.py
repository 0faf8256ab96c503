"""Which configured features are built: what is not is refused at start, never silently ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zot.config.model import Config

# A feature by the path of the key that asks for it. `=` names the one value that asks.
FEATURES = (
    "storage.gc",
    "storage.retention",
    "storage.maxRepos",
    "storage.redirectBlobURL",
    "storage.storageDriver.name=s3",
    "storage.storageDriver.name=gcs",
    "storage.storageDriver.name=azure",
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
    "scheduler",
    "cluster",
)


def refuse_unbuilt(config: Config, built: frozenset[str]) -> None:
    """Raise ConfigurationError naming every key of `config` that asks for a feature which is not in `built`.

    `built` holds entries of FEATURES; another name is a mistake of the program, an AssertionError. What is switched
    off (`enable: false`, false, 0, empty) asks for nothing, and neither does a default.
    """
    assert built <= set(FEATURES), f"no such feature: {', '.join(sorted(built - set(FEATURES)))}"
    problems = [
        ConfigProblem("this build does not have what the key asks for", key, "remove the key")
        for feature in FEATURES
        if feature not in built
        for key in _asking(config, feature)
    ]
    if problems:
        raise ConfigurationError(*problems)


def asked_for(config: Config) -> frozenset[str]:
    """Return the features that the configuration asks for."""
    return frozenset(feature for feature in FEATURES if any(_asking(config, feature)))


def _asking(config: Config, feature: str) -> Iterator[str]:
    """Yield the paths of the keys that ask for the feature: in the main section, and in each sub-path."""
    path, _, wanted = feature.partition("=")
    names = path.split(".")
    if _asks(config, names, wanted):
        yield path
    if names[0] == "storage":
        for route, store in config.storage.sub_paths.items():
            if _asks(store, names[1:], wanted):
                yield f'storage.subPaths["{route}"].{".".join(names[1:])}'


def _asks(value: Any, names: list[str], wanted: str) -> bool:
    for name in names:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, Section):
            value = _said(value, name)
        if not value or (isinstance(value, Section) and getattr(value, "enable", True) is False):
            return False
    return value == wanted if wanted else True


def _said(section: Section, alias: str) -> Any:
    """Return the value that the file gives the key; None for a default, and for an object that says nothing.

    An object that is absent by default asks for its feature by being there: `search: {}` does, `retention: {}` not.
    """
    for name, field in type(section).model_fields.items():
        if field.alias == alias and name in section.model_fields_set:
            value = getattr(section, name)
            return None if isinstance(field.default, Section) and not value.model_fields_set else value
    return None
