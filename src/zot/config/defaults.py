"""Defaults that depend on other keys, filled in after the file is read, as zot does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from zot.config.durations import format_seconds
from zot.config.model import DIST_SPEC_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zot.config.extensions import ExtensionsConfig
    from zot.config.http import HttpConfig
    from zot.config.model import Config
    from zot.config.secret_files import OpenIdCredentials
    from zot.config.section import Section
    from zot.config.storage import StoreConfig

S = TypeVar("S", bound="Section")
AnyStore = TypeVar("AnyStore", bound="StoreConfig")

# The shortest interval of vulnerability scans and of scrubs.
SHORTEST_INTERVAL_S = 7200.0


def complete(config: Config) -> tuple[Config, list[str]]:
    """Fill in the defaults that depend on other keys; return warnings about corrected values."""
    warnings: list[str] = []
    storage = _complete_store(config.storage, warnings)
    sub_paths = {route: _complete_store(sub_path, warnings) for route, sub_path in storage.sub_paths.items()}
    storage = _replace(storage, sub_paths=sub_paths)
    if config.dist_spec_version != DIST_SPEC_VERSION:
        warnings.append(f"distSpecVersion: {config.dist_spec_version!r} is ignored, the version is {DIST_SPEC_VERSION}")
    completed = _replace(
        config,
        dist_spec_version=DIST_SPEC_VERSION,
        storage=storage,
        http=_complete_http(config.http, config.secrets.openid, warnings),
        extensions=_complete_extensions(config.extensions, warnings),
    )
    return completed, warnings


def _replace(section: S, **values: Any) -> S:
    """Return a copy with `values`; its `model_fields_set` still holds only the keys of the file."""
    changed = {name: value for name, value in values.items() if getattr(section, name) is not value}
    if not changed:
        return section
    copy = section.model_copy(update=changed)
    copy.__pydantic_fields_set__.intersection_update(section.model_fields_set)
    return copy


def _complete_store(store: AnyStore, warnings: list[str]) -> AnyStore:
    given, values = store.model_fields_set, dict[str, Any]()
    if store.gc:
        delay_s = store.gc_delay_s
    else:
        # Without collection absent keys are zero; for keys in the file the rules warn.
        delay_s = 0.0
        values |= {name: 0.0 for name in ("gc_delay_s", "gc_interval_s") if name not in given}
    if "delay_s" not in store.retention.model_fields_set:
        values["retention"] = _replace(store.retention, delay_s=delay_s)
    # zot has no such driver, so that its default has no meaning there.
    in_postgres = store.cache_driver is not None and store.cache_driver.get("name") == "postgres"
    if "remote_cache" not in given and (in_postgres or (store.storage_driver is not None and store.dedupe)):
        values["remote_cache"] = True
    if store.storage_driver is not None:
        driver = store.storage_driver
        if driver.get("name") == "s3" and "regionendpoint" in driver and "forcepathstyle" not in driver:
            warnings.append("storage.storageDriver: forcepathstyle is set to true because of regionendpoint")
            values["storage_driver"] = driver | {"forcepathstyle": True}
    return _replace(store, **values)


def _complete_http(http: HttpConfig, credentials: Mapping[str, OpenIdCredentials], warnings: list[str]) -> HttpConfig:
    openid = http.auth.openid
    if openid is None:
        return http
    providers = {}
    for name, provider in openid.providers.items():
        providers[name] = provider
        if name in credentials:
            found = credentials[name]
            providers[name] = _replace(provider, client_id=found.client_id, client_secret=found.client_secret)
        elif provider.client_id or provider.client_secret:
            warnings.append(
                f"http.auth.openid.providers.{name}: clientid and clientsecret in the configuration are deprecated: "
                "use a credentialsFile"
            )
    # Clients without a browser need API keys.
    return _replace(http, auth=_replace(http.auth, openid=_replace(openid, providers=providers), apikey=True))


def _complete_extensions(extensions: ExtensionsConfig, warnings: list[str]) -> ExtensionsConfig:
    search, scrub = extensions.search, extensions.scrub
    if search is not None and search.cve is not None and search.cve.update_interval_s < SHORTEST_INTERVAL_S:
        given = format_seconds(search.cve.update_interval_s)
        warnings.append(f"extensions.search.cve.updateInterval: {given} is too short, 2h is used")
        search = _replace(search, cve=_replace(search.cve, update_interval_s=SHORTEST_INTERVAL_S))
    if scrub is not None and scrub.interval_s < SHORTEST_INTERVAL_S:
        given = format_seconds(scrub.interval_s)
        warnings.append(f"extensions.scrub.interval: {given} is too short, 2h is used")
        scrub = _replace(scrub, interval_s=SHORTEST_INTERVAL_S)
    return _replace(extensions, search=search, scrub=scrub)
