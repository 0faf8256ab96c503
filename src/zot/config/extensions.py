"""`extensions`: what the registry does beyond the distribution specification."""

from __future__ import annotations

from pydantic import ConfigDict, field_validator

from zot.config.durations import Seconds
from zot.config.section import Flag, Listed, Secret, Section, zot_key
from zot.config.sync import SyncConfig

HOUR_S = 3600.0


class SbomConfig(Section):
    """A bill of materials pushed beside each scanned image."""

    enable: Flag = zot_key("enable", False, doc="Whether one is made.")
    format: str = zot_key("format", "spdx-json", doc="`spdx-json` or `cyclonedx`.")


class TrivyConfig(Section):
    """The scanner."""

    db_repository: str = zot_key(
        "dbRepository", "ghcr.io/aquasecurity/trivy-db", doc="Where the database of vulnerabilities comes from."
    )
    java_db_repository: str = zot_key(
        "javaDBRepository", "ghcr.io/aquasecurity/trivy-java-db", doc="Where the database of Java packages comes from."
    )
    vuln_severity_sources: Listed[str] = zot_key(
        "vulnSeveritySources", ("auto",), doc="Whose severities are shown, in order of preference."
    )
    sbom: SbomConfig = zot_key("sbom", SbomConfig(), doc="A bill of materials beside each scanned image.")


class CveConfig(Section):
    """Scans for vulnerabilities."""

    update_interval_s: Seconds = zot_key(
        "updateInterval", 2 * HOUR_S, doc="How often the databases are updated; at least 2h.", reload=True
    )
    trivy: TrivyConfig = zot_key("trivy", TrivyConfig(), doc="The scanner.", reload=True)


class SearchConfig(Section):
    """Search by GraphQL."""

    enable: Flag = zot_key("enable", True, doc="Whether search is offered.")
    cve: CveConfig | None = zot_key("cve", None, doc="Scans for vulnerabilities.", reload=True)


class UiConfig(Section):
    """The web pages."""

    enable: Flag = zot_key("enable", True, doc="Whether they are served. Needs `search`.")


class PrometheusConfig(Section):
    """The form of the metrics."""

    path: str = zot_key("path", "/metrics", doc="Path at which they are read.")


class MetricsConfig(Section):
    """Figures for monitoring."""

    enable: Flag = zot_key("enable", True, doc="Whether they are offered.")
    prometheus: PrometheusConfig = zot_key("prometheus", PrometheusConfig(), doc="The form of the metrics.")


class ScrubConfig(Section):
    """Periodic verification of everything stored."""

    enable: Flag = zot_key("enable", True, doc="Whether it is done.")
    interval_s: Seconds = zot_key(
        "interval", 24 * HOUR_S, doc="Time from one run to the next, restarts or not; at least 2h."
    )


class LintConfig(Section):
    """Conditions on what is pushed."""

    enable: Flag = zot_key("enable", False, doc="Whether they are checked.")
    mandatory_annotations: Listed[str] = zot_key(
        "mandatoryAnnotations", (), doc="Annotations (or config labels) without which an image is refused."
    )


class TrustConfig(Section):
    """Verification of signatures."""

    enable: Flag = zot_key("enable", True, doc="Whether signatures are verified.")
    cosign: Flag = zot_key("cosign", False, doc="Accept public keys of cosign.")
    notation: Flag = zot_key("notation", False, doc="Accept certificates of notation.")


class SinkCredentials(Section):
    """How the server identifies itself to a sink."""

    username: str = zot_key("username", "", doc="User name.")
    password: Secret | None = zot_key("password", None, doc="Password.")
    token: Secret | None = zot_key("token", None, doc="http: bearer token, used without a user name.")
    file: str = zot_key("file", "", doc="nats: credentials file.")


class SinkTlsConfig(Section):
    """Certificates for a sink, as paths of PEM files."""

    ca_cert_file: str = zot_key("cacertfile", "", doc="Authorities of the sink's certificate.")
    cert_file: str = zot_key("certfile", "", doc="Client certificate.")
    key_file: str = zot_key("keyfile", "", doc="Private key of the client certificate.")


class SinkConfig(Section):
    """Where events go. Unknown keys are reported and ignored, as zot ignores them."""

    model_config = ConfigDict(extra="allow")

    type: str = zot_key("type", doc="`http` or `nats`.")
    address: str = zot_key("address", "", doc="URL of the sink. Mandatory.")
    channel: str = zot_key("channel", "", doc="nats: subject; http: CloudEvents attribute `channel`.")
    timeout_s: Seconds = zot_key("timeout", 30.0, doc="Longest duration of one delivery.")
    proxy: str | None = zot_key("proxy", None, doc="http: proxy to go through.")
    headers: dict[str, str] = zot_key("headers", {}, doc="http: further headers.")
    credentials: SinkCredentials | None = zot_key("credentials", None, doc="How the server identifies itself.")
    tls: SinkTlsConfig | None = zot_key("tlsconfig", None, doc="Certificates for the sink.")

    @field_validator("type")
    @classmethod
    def _supported(cls, value: str) -> str:
        if value not in ("http", "nats"):
            raise ValueError(f"event sink is not supported: {value!r} is neither 'http' nor 'nats'")
        return value


class EventsConfig(Section):
    """CloudEvents about what changes in the registry."""

    enable: Flag = zot_key("enable", False, doc="Whether events are sent.")
    sinks: Listed[SinkConfig] = zot_key("sinks", (), doc="Where they go.")


class SwitchConfig(Section):
    """A section of older zot versions; accepted and ignored with a warning."""

    enable: Flag = zot_key("enable", True, doc="Ignored.")


class ExtensionsConfig(Section):
    """What the registry does beyond the distribution specification."""

    search: SearchConfig | None = zot_key("search", None, doc="Search by GraphQL.")
    ui: UiConfig | None = zot_key("ui", None, doc="The web pages.")
    metrics: MetricsConfig | None = zot_key("metrics", None, doc="Figures for monitoring.")
    scrub: ScrubConfig | None = zot_key("scrub", None, doc="Periodic verification of everything stored.", reload=True)
    lint: LintConfig | None = zot_key("lint", None, doc="Conditions on what is pushed.")
    trust: TrustConfig | None = zot_key("trust", None, doc="Verification of signatures.")
    events: EventsConfig | None = zot_key("events", None, doc="CloudEvents about what changes.")
    sync: SyncConfig | None = zot_key("sync", None, doc="Images mirrored from other registries.", reload=True)
    mgmt: SwitchConfig | None = zot_key("mgmt", None, doc="Ignored with a warning: on whenever `search` is.")
    apikey: SwitchConfig | None = zot_key("apikey", None, doc="Ignored with a warning: see `http.auth.apikey`.")

    @property
    def search_enabled(self) -> bool:
        """Whether search is offered."""
        return self.search is not None and self.search.enable

    @property
    def ui_enabled(self) -> bool:
        """Whether the web pages are served."""
        return self.ui is not None and self.ui.enable

    @property
    def metrics_enabled(self) -> bool:
        """Whether metrics are offered."""
        return self.metrics is not None and self.metrics.enable

    @property
    def scrub_enabled(self) -> bool:
        """Whether everything stored is verified periodically."""
        return self.scrub is not None and self.scrub.enable

    @property
    def lint_enabled(self) -> bool:
        """Whether pushed images are checked."""
        return self.lint is not None and self.lint.enable

    @property
    def trust_enabled(self) -> bool:
        """Whether signatures are verified."""
        return self.trust is not None and self.trust.enable

    @property
    def events_enabled(self) -> bool:
        """Whether events are sent."""
        return self.events is not None and self.events.enable

    @property
    def sync_enabled(self) -> bool:
        """Whether images are mirrored."""
        return self.sync is not None and self.sync.enable

    @property
    def scan_enabled(self) -> bool:
        """Whether images are scanned for vulnerabilities."""
        return self.search is not None and self.search.enable and self.search.cve is not None
