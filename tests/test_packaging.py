"""The files that packages and images are made of agree with the product."""

import json
from pathlib import Path

import yaml

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


def test_image_unit_and_values_name_one_place_and_one_user() -> None:
    """Who runs it and where it keeps data is said alike in the Dockerfile, the unit and the Helm values."""
    image, unit = (ROOT / "Dockerfile").read_text(), (PACKAGING / "zot.service").read_text()
    user = yaml.safe_load((PACKAGING / "helm-values.yaml").read_text())["podSecurityContext"]["runAsUser"]
    assert f"USER {user}:{user}\n" in image
    assert "VOLUME /var/lib/registry\n" in image
    assert "StateDirectory=registry\n" in unit
    assert 'CMD ["serve", "/etc/zot/config.json"]' in image
    assert "zot serve /etc/zot/config.json\n" in unit
