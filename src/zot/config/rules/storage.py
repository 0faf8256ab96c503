"""Rules of `storage`."""

from __future__ import annotations

import os.path
from itertools import combinations
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from zot.config import postgres_address
from zot.config.driver_options import DRIVERS, LARGEST_CHUNK_BYTES, S3, driver_options, unknown_parameters
from zot.config.durations import format_seconds
from zot.config.errors import ConfigProblem, ConfigurationError, ConfigWarning, Finding
from zot.config.redis_options import redis_options
from zot.config.rules import patterns as pattern_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zot.config.model import Config
    from zot.config.storage import RetentionConfig, StorageConfig, StoreConfig

OBJECT_STORES = ("s3", "gcs", "azure")
REMOTE_CATALOGS = ("dynamodb", "postgres", "redis")
# Those that may describe stores on the file system.
_LOCAL_TOO = ("postgres", "redis")


def stores(storage: StorageConfig) -> Iterator[tuple[str, StoreConfig]]:
    """Iterate over the main store and the sub-paths, each with the path of its key."""
    yield "storage", storage
    for route, sub_path in storage.sub_paths.items():
        yield f'storage.subPaths["{route}"]', sub_path


def collection(storage: StorageConfig) -> Iterator[Finding]:
    """Check garbage collection and retention."""
    delay, interval = format_seconds(storage.gc_delay_s), format_seconds(storage.gc_interval_s)
    if storage.gc_delay_s < 0:
        yield ConfigProblem(f"invalid garbage-collect delay specified {delay}", "storage.gcDelay", "0s or more")
    if storage.gc_interval_s < 0:
        yield ConfigProblem(
            f"invalid garbage-collect interval specified {interval}", "storage.gcInterval", "0s or more"
        )
    for path, store in stores(storage):
        if store.gc and store is not storage and store.gc_delay_s <= 0:
            delay = format_seconds(store.gc_delay_s)
            text = f"invalid GC delay configuration - cannot be negative or zero: {delay}"
            yield ConfigProblem(text, f"{path}.gcDelay", "more than 0s")
        if not store.gc:
            for key, value in (
                ("gcDelay", store.gc_delay_s),
                ("gcInterval", store.gc_interval_s),
                ("gcTimeWindow", store.gc_time_window),
            ):
                if value:
                    yield ConfigWarning("ignored, because garbage collection is off (gc: false)", f"{path}.{key}")
        yield from _retention(f"{path}.retention", store.retention)


def _retention(path: str, retention: RetentionConfig) -> Iterator[Finding]:
    if retention.delay_s < 0 and "delay_s" in retention.model_fields_set:
        yield ConfigProblem(
            f"invalid retention delay {format_seconds(retention.delay_s)}", f"{path}.delay", "0s or more"
        )
    for i, policy in enumerate(retention.policies):
        key = f"{path}.policies[{i}]"
        text = "retention repo glob pattern could not be compiled"
        yield from pattern_rules.globs(policy.repositories, f"{key}.repositories", text)
        for j, rule in enumerate(policy.keep_tags):
            text = "retention tag regex could not be compiled"
            yield from pattern_rules.regexes(rule.patterns, f"{key}.keepTags[{j}].patterns", text)


def roots(storage: StorageConfig) -> Iterator[Finding]:
    """Check that no root directory is inside another one of the same kind of store."""
    named = [("default storage", storage.root_directory, _kind(storage))]
    named += [
        (f"substore (route: {route})", sub_path.root_directory, _kind(sub_path))
        for route, sub_path in sorted(storage.sub_paths.items())
    ]
    for (name, root, kind), (other_name, other_root, other_kind) in combinations(named, 2):
        if kind != other_kind or not (root and other_root):
            continue
        path, other = PurePath(os.path.abspath(root)), PurePath(os.path.abspath(other_root))  # noqa: PTH100 - resolve() reads the disk
        if path == other:
            text = f"invalid storage config, {name} and {other_name} cannot use the same root directory"
        elif path.is_relative_to(other):
            text = f"invalid storage config, {name} root directory cannot be inside {other_name} root directory"
        elif other.is_relative_to(path):
            text = f"invalid storage config, {other_name} root directory cannot be inside {name} root directory"
        else:
            continue
        yield ConfigProblem(text, "storage.subPaths", f"{root} and {other_root} in different directories")


def _kind(store: StoreConfig) -> str:
    return str(store.storage_driver.get("name")) if store.storage_driver else "local"


def caches(storage: StorageConfig) -> Iterator[Finding]:
    """Check the drivers of shared catalogs."""
    for path, store in stores(storage):
        remote, driver = store.storage_driver is not None, store.cache_driver
        if driver is None:
            if store.dedupe and remote and store.remote_cache:
                yield ConfigProblem(
                    "invalid database config, dedupe set to true with remote storage and database, but no remote "
                    "database configured",
                    f"{path}.cacheDriver",
                    "a redis, postgres or dynamodb driver, or remoteCache: false",
                )
            elif store.remote_cache:
                yield ConfigWarning("ignored, because there is no cacheDriver", f"{path}.remoteCache")
            continue
        name = driver.get("name")
        # A sub-path may have a separate catalog only in dynamodb.
        allowed = REMOTE_CATALOGS if store is storage else ("dynamodb",)
        if not store.remote_cache:
            yield ConfigWarning(
                "ignored, because remoteCache is false: the embedded catalog is used", f"{path}.cacheDriver"
            )
        elif not remote and (name not in _LOCAL_TOO or store is not storage):
            text = "invalid database config, cannot have local storage driver with remote database!"
            yield ConfigProblem(text, f"{path}.cacheDriver", "redis or postgres, or a storageDriver")
        elif name not in allowed:
            text = "invalid database config, unsupported database driver"
            yield ConfigProblem(text, f"{path}.cacheDriver.name", " or ".join(allowed))


def drivers(config: Config) -> Iterator[Finding]:
    """Check the drivers of object stores."""
    for path, store in stores(config.storage):
        if store.storage_driver is None:
            if store.redirect_blob_url:
                text = "invalid storage config, redirectBlobURL is supported only for s3/gcs/azure storage"
                yield ConfigProblem(text, f"{path}.redirectBlobURL")
            continue
        if store.storage_driver.get("name") not in OBJECT_STORES:
            yield ConfigProblem("unsupported storage driver", f"{path}.storageDriver.name", " or ".join(OBJECT_STORES))
        sync = config.extensions.sync
        if sync is not None and sync.enable and not sync.download_dir:
            yield ConfigProblem(
                "using both sync and remote storage features needs config.Extensions.Sync.DownloadDir to be specified",
                "extensions.sync.downloadDir",
            )


def own_checks(storage: StorageConfig) -> Iterator[Finding]:
    """Check what zot does not check, or checks only at start."""
    for path, store in stores(storage):
        if not store.root_directory and store.storage_driver is None:
            yield ConfigProblem("image store not found", f"{path}.rootDirectory", "the directory of the store")
        elif not store.root_directory and store is storage and not (storage.remote_cache and storage.cache_driver):
            yield ConfigProblem(
                "no directory for the catalog", f"{path}.rootDirectory", "a local directory that outlives the server"
            )
        for name, driver in (("storageDriver", store.storage_driver), ("cacheDriver", store.cache_driver)):
            if driver is not None:
                yield from _parameters(driver, f"{path}.{name}")
    for route in storage.sub_paths:
        if not route.startswith("/") or not route[1:] or "/" in route[1:]:
            yield ConfigProblem(
                f"invalid route {route!r}", "storage.subPaths", "a slash and one component, such as /infra"
            )
    if storage.max_repos < 0:
        yield ConfigProblem(f"invalid limit {storage.max_repos}", "storage.maxRepos", "0 or more")
    if storage.min_free_bytes < 0:
        yield ConfigProblem(f"invalid limit {storage.min_free_bytes}", "storage.minFreeBytes", "0 or more")
    if not 0 <= storage.min_free_percent < 100:
        yield ConfigProblem(
            f"invalid limit {storage.min_free_percent:g}", "storage.minFreePercent", "from 0 to below 100"
        )
    for i, quota in enumerate(storage.quotas):
        key = f"storage.quotas[{i}]"
        yield from pattern_rules.globs(quota.repositories, f"{key}.repositories", "invalid repository pattern")
        if quota.limit_bytes < 0:
            yield ConfigProblem(f"invalid limit {quota.limit_bytes}", f"{key}.bytes", "0 or more")


def _parameters(driver: dict[str, Any], key: str) -> Iterator[Finding]:
    """Check a driver's parameters, which zot checks only at start."""
    try:
        if driver.get("name") == "redis":
            _, warnings = redis_options(driver, "zot", key)
            yield from map(ConfigWarning, warnings)
        elif driver.get("name") == "postgres":
            postgres_address.driver_address(driver, key)
            for unknown in postgres_address.unknown_parameters(driver):
                yield ConfigWarning("unknown parameter, ignored", f"{key}.{unknown}")
        elif model := DRIVERS.get(str(driver.get("name"))):
            options = driver_options(driver, model, key)
            for unknown in unknown_parameters(options):
                yield ConfigWarning("unknown parameter, ignored", f"{key}.{unknown}")
            if isinstance(options, S3):
                yield from _s3(options, key)
    except ConfigurationError as error:
        yield from error.problems


def _s3(options: S3, key: str) -> Iterator[Finding]:
    if options.key_id and not options.encrypt:
        yield ConfigWarning("ignored, because encrypt is false", f"{key}.keyid")
    if options.chunk_bytes > LARGEST_CHUNK_BYTES:
        yield ConfigWarning("64 MiB are used: larger chunks would fill the memory", f"{key}.chunksize")
    if bool(options.access_key) != bool(options.secret_key):
        given, absent = ("accesskey", "secretkey") if options.access_key else ("secretkey", "accesskey")
        text = f"ignored, because {absent} is absent: the credentials of the machine are used"
        yield ConfigWarning(text, f"{key}.{given}")
    if not options.region and (not options.region_endpoint or "amazonaws.com" in options.region_endpoint):
        yield ConfigWarning("us-east-1 is used, because it is absent", f"{key}.region")


def object_store_prefixes(storage: StorageConfig) -> Iterator[Finding]:
    """Check that no two stores have one prefix of one bucket, and none is inside another."""
    named = []
    for path, store in stores(storage):
        driver = store.storage_driver
        if driver is not None and driver.get("name") == "s3" and isinstance(driver.get("bucket"), str):
            root = str(driver.get("rootdirectory") or "").strip("/")
            named.append((path, driver.get("regionendpoint"), driver["bucket"], f"{root}/" if root else ""))
    for (_, *bucket, prefix), (path, *other_bucket, other) in combinations(named, 2):
        if bucket == other_bucket and (prefix.startswith(other) or other.startswith(prefix)):
            text = f"invalid storage config, two stores share the prefix {prefix or '/'} of bucket {bucket[1]}"
            yield ConfigProblem(text, f"{path}.storageDriver.rootdirectory", "prefixes none of which is in another")
