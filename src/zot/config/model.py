"""The configuration as a whole."""

from __future__ import annotations

from pydantic import PrivateAttr

from zot.config.cluster import ClusterConfig
from zot.config.extensions import ExtensionsConfig
from zot.config.http import HttpConfig
from zot.config.log import LogConfig
from zot.config.scheduler import SchedulerConfig
from zot.config.secret_files import Secrets
from zot.config.section import Section, zot_key
from zot.config.storage import StorageConfig

DIST_SPEC_VERSION = "1.1.1"

_DEFAULT_ROOT = "./zot-data"
DEFAULT_TREE = {"storage": {"rootDirectory": _DEFAULT_ROOT}}
"""What a file would say that means the same as none."""


class Config(Section):
    """A configuration file, read and completed: what is absent in the file has its default here.

    Made by `zot.config.load`. Immutable; a reload makes a new one.
    """

    dist_spec_version: str = zot_key(
        "distSpecVersion", DIST_SPEC_VERSION, doc="Version of the distribution specification; informational."
    )
    go_version: str = zot_key("goVersion", "", doc="Accepted and ignored, as zot does.")
    commit: str = zot_key("commit", "", doc="Accepted and ignored, as zot does.")
    release_tag: str = zot_key("releaseTag", "", doc="Accepted and ignored, as zot does.")
    binary_type: str = zot_key("binaryType", "", doc="Accepted and ignored, as zot does.")
    storage: StorageConfig = zot_key("storage", StorageConfig(), doc="Where content is kept, and when it is removed.")
    http: HttpConfig = zot_key("http", HttpConfig(), doc="The HTTP server.")
    log: LogConfig = zot_key("log", LogConfig(), doc="What is logged, and where.")
    extensions: ExtensionsConfig = zot_key(
        "extensions", ExtensionsConfig(), doc="What goes beyond the distribution specification."
    )
    scheduler: SchedulerConfig = zot_key("scheduler", SchedulerConfig(), doc="Background work.")
    cluster: ClusterConfig | None = zot_key("cluster", None, doc="zot's static cluster members.")

    _secrets: Secrets = PrivateAttr(default_factory=Secrets)

    @property
    def secrets(self) -> Secrets:
        """What the secret files hold that the configuration names."""
        return self._secrets

    def with_secrets(self, secrets: Secrets) -> Config:
        """Return the same configuration with other secrets, as after a change of a secret file."""
        copy = self.model_copy()
        copy._secrets = secrets  # noqa: SLF001 - of the same class
        return copy

    @classmethod
    def default(cls) -> Config:
        """Return what holds without a configuration file: 127.0.0.1:8080, content in `./zot-data`."""
        return cls(storage=StorageConfig(root_directory=_DEFAULT_ROOT))
