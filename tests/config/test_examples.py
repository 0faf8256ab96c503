"""The example configurations are valid, complete and without real secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from zot.config.load import load
from zot.config.parse import read_tree

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIGURATIONS = sorted(path for path in EXAMPLES.glob("**/config-*.*") if "credentials.json" not in path.name)
SECRETS = sorted({*EXAMPLES.glob("*-credentials.json"), *EXAMPLES.glob("session*.json"), *EXAMPLES.glob("sync-*.json")})

# The names of zot's example files.
NAMES = [
    "all-remote", "allextensions", "anonymous-authz", "azure", "bearer-auth", "bearer-oidc-workload", "bench",
    "boltdb", "commit", "conformance", "cve", "cve-trivy", "docker-compat", "docker-compat-sync", "dynamodb",
    "events", "example", "gc", "gc-periodic", "gcs", "ldap", "lint", "metrics", "metrics-authn-anonymous-access",
    "metrics-authz", "minimal", "mtls", "mtls-spiffe", "multiple", "multiple-cve", "openid",
    "openid-claim-mapping", "policy", "popular-registries", "ratelimit", "redis", "redis-all-options",
    "redis-cluster", "remote-session-store-redis", "retention", "s3", "sbom-trivy", "scheduler", "scrub", "search",
    "sync", "sync-cloud-storage", "sync-ecr-credential-helper", "sync-gcp-credential-helper",
    "sync-oauth2-assertion-file", "sync-oauth2-credential-helper", "sync-oauth2-token-exchange", "test", "tls",
    "ui",
]  # fmt: skip


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_examples_load(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Every example loads without a problem, and without a warning but that members need no list."""
    monkeypatch.chdir(EXAMPLES)
    loaded = load(path)
    expected = () if loaded.config.cluster is None else ("cluster: not needed",)
    assert tuple(warning.partition(": each")[0] for warning in loaded.warnings) == expected


@pytest.mark.parametrize("name", NAMES)
def test_each_example_of_zot_has_a_counterpart(name: str) -> None:
    """For each example of zot there is one of the same name."""
    assert (EXAMPLES / f"config-{name}.json").is_file()


def test_formats_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example in three formats is the same configuration in each."""
    monkeypatch.chdir(EXAMPLES)
    json, yaml, toml = (load(Path(f"config-example.{extension}")).config for extension in ("json", "yaml", "toml"))
    assert json == yaml == toml


@pytest.mark.parametrize("path", SECRETS, ids=lambda path: path.name)
def test_secrets_in_examples_are_dummies(path: Path) -> None:
    """Secret files parse, and hold only recognizable placeholders."""
    text = path.read_text(encoding="utf-8")
    assert read_tree(path)
    assert "change-me" in text or "0123456789abcdef" in text or "privateKeyFile" in text


def test_the_readme_names_every_example() -> None:
    """The overview lists each example."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in CONFIGURATIONS:
        grouped = path.parent != EXAMPLES or path.name.startswith("config-sync-") or path.suffix in (".yaml", ".toml")
        assert grouped or f"`{path.name}`" in readme, path.name
