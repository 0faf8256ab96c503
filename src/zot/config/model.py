"""The whole configuration, and its small sections: `log`, `scheduler`, `cluster`."""

from __future__ import annotations

from typing import Literal

from pydantic import PrivateAttr

from zot.config.extensions import ExtensionsConfig, SearchConfig, UiConfig
from zot.config.http import HttpConfig, TlsConfig
from zot.config.secret_files import Secrets
from zot.config.section import Listed, Section, own_key, zot_key
from zot.config.storage import StorageConfig

DIST_SPEC_VERSION = "1.1.1"

_DEFAULT_ROOT = "./zot-data"
DEFAULT_TREE = {
    "storage": {"rootDirectory": _DEFAULT_ROOT},
    "extensions": {"search": {"enable": True}, "ui": {"enable": True}},
}
"""The content of a configuration file that is equivalent to having none."""


LOG_LEVELS = ("debug", "trace", "info", "warn", "warning", "error", "fatal", "panic")


class LogConfig(Section):
    """`log`: the log and the audit log."""

    level: str = zot_key(
        "level", "debug", doc="`debug`, `trace`, `info`, `warn`, `warning`, `error`, `fatal` or `panic`."
    )
    output: str = zot_key("output", "", doc="File to append to; empty: standard output.")
    audit: str = zot_key("audit", "", doc="File to append the audit log to; empty: no audit log.")
    format: Literal["text", "json"] | None = own_key("log.format")


class SchedulerConfig(Section):
    """`scheduler`: background tasks."""

    num_workers: int = zot_key("numWorkers", 0, doc="Concurrent background tasks; 0: four per core.")


class ClusterConfig(Section):
    """`cluster`: zot's static members. Replicas of this server need no such list."""

    members: Listed[str] = zot_key("members", (), doc="`host:port` of each member, in the same order on every member.")
    hash_key: str = zot_key("hashKey", "", doc="16 characters, the same on every member.")
    tls: TlsConfig | None = zot_key("tls", None, doc="Certificates for requests to other members.")


class Config(Section):
    """A loaded configuration, with defaults filled in; immutable.

    Made by `zot.config.load`; a reload makes a new one.
    """

    dist_spec_version: str = zot_key(
        "distSpecVersion", DIST_SPEC_VERSION, doc="Version of the distribution specification; informational."
    )
    go_version: str = zot_key("goVersion", "", doc="Accepted and ignored, as zot does.")
    commit: str = zot_key("commit", "", doc="Accepted and ignored, as zot does.")
    release_tag: str = zot_key("releaseTag", "", doc="Accepted and ignored, as zot does.")
    binary_type: str = zot_key("binaryType", "", doc="Accepted and ignored, as zot does.")
    storage: StorageConfig = zot_key(
        "storage", StorageConfig.model_construct(), doc="Stores of content, garbage collection and retention."
    )
    http: HttpConfig = zot_key("http", HttpConfig.model_construct(), doc="The HTTP server.")
    log: LogConfig = zot_key("log", LogConfig.model_construct(), doc="The log and the audit log.")
    extensions: ExtensionsConfig = zot_key(
        "extensions", ExtensionsConfig.model_construct(), doc="Features beyond the distribution specification."
    )
    scheduler: SchedulerConfig = zot_key("scheduler", SchedulerConfig.model_construct(), doc="Background tasks.")
    cluster: ClusterConfig | None = zot_key(
        "cluster", None, doc="zot's members; not needed, as each replica serves any request."
    )

    _secrets: Secrets = PrivateAttr(default_factory=Secrets)

    @property
    def secrets(self) -> Secrets:
        """The contents of the secret files that the configuration names."""
        return self._secrets

    def with_secrets(self, secrets: Secrets) -> Config:
        """Return a copy with other secrets."""
        copy = self.model_copy()
        copy._secrets = secrets  # noqa: SLF001 - of the same class
        return copy

    @classmethod
    def default(cls) -> Config:
        """Return the configuration without a file: 127.0.0.1:8080, content in `./zot-data`, search and pages."""
        return cls(
            storage=StorageConfig(root_directory=_DEFAULT_ROOT),
            extensions=ExtensionsConfig(search=SearchConfig(), ui=UiConfig()),
        )
