"""The configuration as a whole."""

from __future__ import annotations

from pydantic import PrivateAttr

from zot.config.cluster import Cluster
from zot.config.extensions import Extensions
from zot.config.http import Http
from zot.config.log import Log
from zot.config.scheduler import Scheduler
from zot.config.secret_files import Secrets
from zot.config.section import Section, zot_key
from zot.config.storage import Storage

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
    storage: Storage = zot_key("storage", Storage(), doc="Where content is kept, and when it is removed.")
    http: Http = zot_key("http", Http(), doc="The HTTP server.")
    log: Log = zot_key("log", Log(), doc="What is logged, and where.")
    extensions: Extensions = zot_key("extensions", Extensions(), doc="What goes beyond the distribution specification.")
    scheduler: Scheduler = zot_key("scheduler", Scheduler(), doc="Background work.")
    cluster: Cluster | None = zot_key("cluster", None, doc="zot's static cluster members.")

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
        return cls(storage=Storage(root_directory=_DEFAULT_ROOT))
