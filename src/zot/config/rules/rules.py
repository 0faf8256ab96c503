"""All rules of the configuration, in the order of zot's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zot.config.errors import ConfigProblem, ConfigurationError, ConfigWarning
from zot.config.rules import access
from zot.config.rules import auth as auth_rules
from zot.config.rules import extensions as extension_rules
from zot.config.rules import http as http_rules
from zot.config.rules import storage as storage_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zot.config.errors import Finding
    from zot.config.model import Config

    CompileCondition = Callable[[str], object]


def check(config: Config, compile_condition: CompileCondition | None = None) -> list[str]:
    """Check a completed configuration; return its warnings.

    `compile_condition` compiles a CEL expression or raises ValueError; without it conditions are not checked. Raises
    ConfigurationError with all problems.
    """
    findings = list(_findings(config, compile_condition))
    problems = [finding for finding in findings if isinstance(finding, ConfigProblem)]
    if problems:
        raise ConfigurationError(*problems)
    return [str(finding) for finding in findings if isinstance(finding, ConfigWarning)]


def _findings(config: Config, compile_condition: CompileCondition | None) -> Iterator[Finding]:
    yield from http_rules.port(config.http)
    yield from storage_rules.collection(config.storage)
    yield from auth_rules.ldap(config.http.auth)
    yield from auth_rules.mtls(config.http)
    yield from auth_rules.openid(config.http.auth)
    yield from auth_rules.bearer(config.http.auth)
    yield from extension_rules.sync(config)
    yield from storage_rules.roots(config.storage)
    yield from storage_rules.object_store_prefixes(config.storage)
    yield from storage_rules.caches(config.storage)
    yield from auth_rules.sessions(config.http.auth)
    yield from extension_rules.extensions(config)
    yield from access.auth_required(config.http)
    yield from access.conditions(config.http.access_control, compile_condition)
    yield from storage_rules.drivers(config)
    yield from access.patterns(config.http.access_control)
    yield from _cluster(config)
    # From here on: what zot does not check, or checks only at start.
    yield from http_rules.own_checks(config.http)
    yield from storage_rules.own_checks(config.storage)
    yield from auth_rules.session_keys(config.secrets.session_keys)
    yield from auth_rules.own_checks(config.http.auth)
    yield from auth_rules.lint(config.http)
    yield from access.lint(config.http)
    yield from extension_rules.own_checks(config)
    yield from _members(config)
    if config.scheduler.num_workers < 0:
        text = f"invalid number of workers {config.scheduler.num_workers}"
        yield ConfigProblem(text, "scheduler.numWorkers", "0 or more")


def _cluster(config: Config) -> Iterator[Finding]:
    cluster = config.cluster
    if cluster is None:
        return
    if not cluster.members:
        yield ConfigProblem("cannot have 0 members in a scale out cluster", "cluster.members", "a list of host:port")
    if len(cluster.hash_key.encode()) != 16:
        yield ConfigProblem("hashKey for scale out cluster must have 16 characters", "cluster.hashKey")


def _members(config: Config) -> Iterator[Finding]:
    """Check that members of a cluster share everything: no request is passed on to the member that has its data."""
    cluster, storage = config.cluster, config.storage
    if cluster is None:
        return
    if len(cluster.members) > 1 and not (storage.storage_driver and storage.remote_cache and storage.cache_driver):
        text = "members of a cluster share nothing, and each serves any request by itself"
        yield ConfigProblem(text, "cluster.members", "one storageDriver and cacheDriver for all members, or no list")
    else:
        yield ConfigWarning("not needed: each replica serves any request by itself, and no member is asked", "cluster")
