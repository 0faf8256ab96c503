"""What must hold between the keys of a configuration, in the order in which zot checks it."""

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
    """Return warnings about a completed configuration; raise ConfigurationError with all its problems.

    `compile_condition` compiles one CEL expression or raises ValueError; without it conditions are not looked at.
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
    yield from storage_rules.caches(config.storage)
    yield from auth_rules.sessions(config.http.auth)
    yield from extension_rules.extensions(config)
    yield from access.ways_in(config.http)
    yield from access.conditions(config.http.access_control, compile_condition)
    yield from storage_rules.drivers(config)
    yield from access.patterns(config.http.access_control)
    yield from _cluster(config)
    # From here on: what zot does not check, or only once it starts.
    yield from http_rules.bounds(config.http)
    yield from storage_rules.bounds(config.storage)
    yield from auth_rules.session_keys(config.secrets.session_keys)
    yield from auth_rules.bounds(config.http.auth)
    yield from auth_rules.oddities(config.http)
    yield from access.oddities(config.http)
    yield from extension_rules.bounds(config)
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
