"""What must hold between the keys of a configuration, in the order in which zot checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zot.config import access_rules, auth_rules, extension_rules, http_rules, storage_rules
from zot.config.errors import Advice, ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zot.config.errors import Finding
    from zot.config.model import Config

    CompileCondition = Callable[[str], object]


def check(config: Config, compile_condition: CompileCondition | None = None) -> list[str]:
    """Return warnings about a completed configuration; raise ConfigurationError with all its problems.

    `compile_condition` compiles one CEL expression or raises ValueError; without it conditions are not looked at.
    """
    findings = list(_findings(config, compile_condition))
    problems = [finding for finding in findings if isinstance(finding, Problem)]
    if problems:
        raise ConfigurationError(*problems)
    return [str(finding) for finding in findings if isinstance(finding, Advice)]


def _findings(config: Config, compile_condition: CompileCondition | None) -> Iterator[Finding]:
    yield from http_rules.port(config.http)
    yield from storage_rules.collection(config.storage)
    yield from auth_rules.ldap(config.http.auth)
    yield from auth_rules.mtls(config.http)
    yield from auth_rules.openid(config.http.auth)
    yield from auth_rules.bearer(config.http.auth)
    yield from extension_rules.sync(config)
    yield from storage_rules.roots(config.storage)
    yield from storage_rules.caches(config.storage)
    yield from auth_rules.sessions(config.http.auth)
    yield from extension_rules.extensions(config)
    yield from access_rules.ways_in(config.http)
    yield from access_rules.conditions(config.http.access_control, compile_condition)
    yield from storage_rules.drivers(config)
    yield from access_rules.patterns(config.http.access_control)
    yield from _cluster(config)
    # From here on: what zot does not check, or only once it starts.
    yield from http_rules.bounds(config.http)
    yield from storage_rules.bounds(config.storage)
    yield from auth_rules.session_keys(config.secrets.session_keys)
    yield from auth_rules.bounds(config.http.auth)
    yield from auth_rules.oddities(config.http)
    yield from access_rules.oddities(config.http)
    yield from extension_rules.bounds(config)
    if config.scheduler.num_workers < 0:
        text = f"invalid number of workers {config.scheduler.num_workers}"
        yield Problem(text, "scheduler.numWorkers", "0 or more")


def _cluster(config: Config) -> Iterator[Finding]:
    cluster = config.cluster
    if cluster is None:
        return
    if not cluster.members:
        yield Problem("cannot have 0 members in a scale out cluster", "cluster.members", "a list of host:port")
    if len(cluster.hash_key.encode()) != 16:
        yield Problem("hashKey for scale out cluster must have 16 characters", "cluster.hashKey")
