"""`extensions`: features beyond the distribution specification."""

from __future__ import annotations

from pydantic import ConfigDict, field_validator

from zot.config.durations import Seconds
from zot.config.section import Flag, Listed, Secret, Section, own_key, zot_key
from zot.config.sync import SyncConfig

HOUR_S = 3600.0


class SbomConfig(Section):
    """A software bill of materials (SBOM) for each scanned image."""

    enable: Flag = zot_key("enable", False, doc="Create and push one for each scanned image.")
    format: str = zot_key("format", "spdx-json", doc="`spdx-json` or `cyclonedx`.")


class TrivyConfig(Section):
    """The Trivy scanner."""

    db_repository: str = zot_key(
        "dbRepository", "ghcr.io/aquasecurity/trivy-db", doc="Repository of the vulnerability database."
    )
    java_db_repository: str = zot_key(
        "javaDBRepository", "ghcr.io/aquasecurity/trivy-java-db", doc="Repository of the Java database."
    )
    vuln_severity_sources: Listed[str] = zot_key(
        "vulnSeveritySources", ("auto",), doc="Sources of severities, in order of preference."
    )
    sbom: SbomConfig = zot_key(
        "sbom", SbomConfig.model_construct(), doc="A software bill of materials for each scanned image."
    )


class CveConfig(Section):
    """Vulnerability scans."""

    update_interval_s: Seconds = zot_key(
        "updateInterval", 2 * HOUR_S, doc="Interval between updates of the databases; at least 2h.", reload=True
    )
    trivy: TrivyConfig = zot_key("trivy", TrivyConfig.model_construct(), doc="The Trivy scanner.", reload=True)


class SearchConfig(Section):
    """Search by GraphQL."""

    enable: Flag = zot_key("enable", True, doc="Enable search.")
    cve: CveConfig | None = zot_key("cve", None, doc="Vulnerability scans.", reload=True)


class LayerFilesConfig(Section):
    """File lists of layers."""

    enable: Flag = own_key("extensions.ui.layers.enable")
    max_bytes: int = own_key("extensions.ui.layers.maxBytes")


class UiConfig(Section):
    """The web interface."""

    enable: Flag = zot_key("enable", True, doc="Enable the web interface. Needs `search`.")
    path: str = own_key("extensions.ui.path")
    layers: LayerFilesConfig = own_key("extensions.ui.layers", default=LayerFilesConfig.model_construct())


class PrometheusConfig(Section):
    """Metrics in Prometheus format."""

    path: str = zot_key("path", "/metrics", doc="Path of the metrics.")


class MetricsConfig(Section):
    """Metrics for monitoring."""

    enable: Flag = zot_key("enable", True, doc="Enable the metrics.")
    prometheus: PrometheusConfig = zot_key(
        "prometheus", PrometheusConfig.model_construct(), doc="Metrics in Prometheus format."
    )


class ScrubConfig(Section):
    """Periodic verification of the stored content."""

    enable: Flag = zot_key("enable", True, doc="Enable the verification.")
    interval_s: Seconds = zot_key("interval", 24 * HOUR_S, doc="Interval between runs, across restarts; at least 2h.")


class LintConfig(Section):
    """Checks of pushed images."""

    enable: Flag = zot_key("enable", False, doc="Enable the checks.")
    mandatory_annotations: Listed[str] = zot_key(
        "mandatoryAnnotations", (), doc="Annotations (or config labels) that an image must have."
    )


class TrustConfig(Section):
    """Verification of signatures."""

    enable: Flag = zot_key("enable", True, doc="Enable the verification of signatures.")
    cosign: Flag = zot_key("cosign", False, doc="Accept public keys of cosign.")
    notation: Flag = zot_key("notation", False, doc="Accept certificates of notation.")


class SinkCredentials(Section):
    """Credentials of the server at a sink."""

    username: str = zot_key("username", "", doc="User name.")
    password: Secret | None = zot_key("password", None, doc="Password.")
    token: Secret | None = zot_key("token", None, doc="http: bearer token, if there is no user name.")
    file: str = zot_key("file", "", doc="nats: credentials file.")


class SinkTlsConfig(Section):
    """Certificates for a sink, as paths of PEM files."""

    ca_cert_file: str = zot_key("cacertfile", "", doc="CAs that verify the sink's certificate.")
    cert_file: str = zot_key("certfile", "", doc="Client certificate.")
    key_file: str = zot_key("keyfile", "", doc="Private key of the client certificate.")


class SinkConfig(Section):
    """A receiver of events. Unknown keys are ignored with a warning, as in zot."""

    model_config = ConfigDict(extra="allow")

    type: str = zot_key("type", doc="`http` or `nats`.")
    address: str = zot_key("address", "", doc="URL of the sink. Mandatory.")
    channel: str = zot_key("channel", "", doc="nats: subject; http: CloudEvents attribute `channel`.")
    timeout_s: Seconds = zot_key("timeout", 30.0, doc="Longest duration of one delivery.")
    proxy: str | None = zot_key("proxy", None, doc="http: URL of a proxy.")
    headers: dict[str, str] = zot_key("headers", {}, doc="http: additional headers.")
    credentials: SinkCredentials | None = zot_key("credentials", None, doc="Credentials of the server.")
    tls: SinkTlsConfig | None = zot_key("tlsconfig", None, doc="Certificates for the sink.")
    name: str = own_key("extensions.events.sinks[].name")
    types: Listed[str] = own_key("extensions.events.sinks[].types")
    repositories: Listed[str] = own_key("extensions.events.sinks[].repositories")
    include: Listed[str] = own_key("extensions.events.sinks[].include")
    signing_secrets: Listed[Secret] = own_key("extensions.events.sinks[].signingSecrets")
    jetstream: Flag = own_key("extensions.events.sinks[].jetStream")
    patience_s: Seconds = own_key("extensions.events.sinks[].patience")

    @field_validator("type")
    @classmethod
    def _supported(cls, value: str) -> str:
        if value not in ("http", "nats"):
            raise ValueError(f"event sink is not supported: {value!r} is neither 'http' nor 'nats'")
        return value


class EventsConfig(Section):
    """CloudEvents about changes in the registry."""

    enable: Flag = zot_key("enable", False, doc="Send events.")
    sinks: Listed[SinkConfig] = zot_key("sinks", (), doc="The receivers of events.")


class SwitchConfig(Section):
    """A section of older zot versions, ignored with a warning."""

    enable: Flag = zot_key("enable", True, doc="Ignored.")


class ExtensionsConfig(Section):
    """Features beyond the distribution specification."""

    search: SearchConfig | None = zot_key("search", None, doc="Search by GraphQL.")
    ui: UiConfig | None = zot_key("ui", None, doc="The web interface.")
    metrics: MetricsConfig | None = zot_key("metrics", None, doc="Metrics for monitoring.")
    scrub: ScrubConfig | None = zot_key("scrub", None, doc="Periodic verification of the stored content.", reload=True)
    lint: LintConfig | None = zot_key("lint", None, doc="Checks of pushed images.")
    trust: TrustConfig | None = zot_key("trust", None, doc="Verification of signatures.")
    events: EventsConfig | None = zot_key("events", None, doc="CloudEvents about changes.")
    sync: SyncConfig | None = zot_key("sync", None, doc="Mirroring of images from other registries.", reload=True)
    mgmt: SwitchConfig | None = zot_key("mgmt", None, doc="Ignored with a warning: enabled with `search`.")
    apikey: SwitchConfig | None = zot_key("apikey", None, doc="Ignored with a warning: see `http.auth.apikey`.")

    @property
    def search_enabled(self) -> bool:
        """Whether search is enabled."""
        return self.search is not None and self.search.enable

    @property
    def ui_enabled(self) -> bool:
        """Whether the web interface is enabled."""
        return self.ui is not None and self.ui.enable

    @property
    def layer_files(self) -> LayerFilesConfig | None:
        """The file lists of layers; None: pages show none."""
        ui = self.ui
        if ui is None or not ui.enable or ui.path or not ui.layers.enable or not self.search_enabled:
            return None
        return ui.layers

    @property
    def metrics_enabled(self) -> bool:
        """Whether metrics are enabled."""
        return self.metrics is not None and self.metrics.enable

    @property
    def scrub_enabled(self) -> bool:
        """Whether the stored content is verified periodically."""
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
