"""The files that packages and images are built from agree with the product."""

import json
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from zot import __version__
from zot.config.load import load

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"


def test_the_packaged_configuration_keeps_the_contract_of_zots_image() -> None:
    """It loads, and means port 5000 on all addresses and data in /var/lib/registry."""
    config = load(PACKAGING / "config.json").config
    assert (config.http.address, int(config.http.port)) == ("0.0.0.0", 5000)
    assert str(config.storage.root_directory) == "/var/lib/registry"


def test_the_helm_values_carry_the_same_configuration() -> None:
    """The configuration inside the values is the packaged one, word for word."""
    values = yaml.safe_load((PACKAGING / "helm-values.yaml").read_text())
    packaged = json.loads((PACKAGING / "config.json").read_text())
    assert json.loads(values["configFiles"]["config.json"]) == packaged


def test_image_unit_and_values_name_one_directory_and_one_user() -> None:
    """The Dockerfile, the unit and the Helm values agree on the user and on the directory of the data."""
    image, unit = (ROOT / "Dockerfile").read_text(), (PACKAGING / "zot.service").read_text()
    user = yaml.safe_load((PACKAGING / "helm-values.yaml").read_text())["podSecurityContext"]["runAsUser"]
    assert f"USER {user}:{user}\n" in image
    assert "VOLUME /var/lib/registry\n" in image
    assert "StateDirectory=registry\n" in unit
    assert 'CMD ["serve", "/etc/zot/config.json"]' in image
    assert "zot serve /etc/zot/config.json\n" in unit


def test_the_manifest_for_kubernetes_carries_the_same_configuration_and_user() -> None:
    """Its configuration is the packaged one, its user the image's, and its probes are paths of the server."""
    documents = list(yaml.safe_load_all((PACKAGING / "kubernetes.yaml").read_text()))
    by_kind = {each["kind"]: each for each in documents}
    assert json.loads(by_kind["ConfigMap"]["data"]["config.json"]) == json.loads(
        (PACKAGING / "config.json").read_text()
    )
    pod = by_kind["StatefulSet"]["spec"]["template"]["spec"]
    values = yaml.safe_load((PACKAGING / "helm-values.yaml").read_text())
    assert pod["securityContext"]["runAsUser"] == values["podSecurityContext"]["runAsUser"]
    (container,) = pod["containers"]
    assert {each["mountPath"] for each in container["volumeMounts"]} == {"/var/lib/registry", "/etc/zot"}
    probes = [container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")]
    assert probes == ["/startupz", "/readyz", "/livez"]


def test_the_compose_file_runs_the_image() -> None:
    """It builds the Dockerfile beside it, with its port, its volume, and the time that a stop may take."""
    (service,) = yaml.safe_load((PACKAGING / "compose.yaml").read_text())["services"].values()
    assert (PACKAGING / service["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    assert service["ports"] == ["5000:5000"]
    assert service["volumes"] == ["registry:/var/lib/registry"]
    assert service["stop_grace_period"] == "90s"


def test_the_replicas_of_the_compose_file_are_balanced_and_share_what_it_runs() -> None:
    """Its configuration names its database and its S3 server, which share their secrets; HAProxy knows each replica."""
    folder = PACKAGING / "replicas"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    config = load(folder / "config.json").config
    names = {name for name in services if name.startswith("replica-")}
    assert len(names) == 2
    assert all((folder / services[name]["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile" for name in names)
    servers = re.findall(r"^ *server (\S+) (\S+):5000$", (folder / "haproxy.cfg").read_text(), re.MULTILINE)
    assert {name for name, _ in servers} == {host for _, host in servers} == names
    assert config.storage.storage_driver is not None
    assert config.storage.cache_driver is not None
    assert urlsplit(config.storage.cache_driver["url"]).hostname in services
    assert (
        urlsplit(config.storage.cache_driver["url"]).password
        == services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    )
    assert urlsplit(config.storage.storage_driver["regionendpoint"]).hostname in services
    assert f"--secret {config.storage.storage_driver['secretkey']} " in services["s3"]["entrypoint"][2]


def test_the_newest_version_of_the_changelog_is_the_packages() -> None:
    """The first heading of CHANGELOG.md has the version of pyproject.toml, with its date or `Unreleased`."""
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0][0] == __version__
    assert __version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in versions[1:])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d|Unreleased", versions[0][1])


def test_the_image_is_built_from_files_that_docker_may_read() -> None:
    """Each file that the Dockerfile copies from the checkout is let through by .dockerignore."""
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = [
        path
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for path in line.split()[1:-1]
    ]
    assert [path for path in copied if path not in allowed or not (ROOT / path).exists()] == []
