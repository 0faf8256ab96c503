"""Comparing images by HTTP: any two that the client may read."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import bcrypt
import pytest

from http_client import Client, Response
from layout.images import CONFIG, INDEX, LAYER, MANIFEST, Image, image, sha256
from zot.testing import serve


def built(name: str, **settings: Any) -> Image:
    """Return an image with a config and a layer of its own, on a common layer."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": settings}).encode()
    layers = (b"base layer", f"layer of {name}".encode())
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": sha256(each), "size": len(each)} for each in layers],
    }
    return Image(json.dumps(document).encode(), MANIFEST, (config, *layers))


OLD, NEW = built("old", Env=["A=1"], User="root"), built("new", Env=["A=2"], User="root")


def diff(client: Client, **fields: str) -> Response:
    """Send the request."""
    return client.get(f"/v2/_zot/ext/diff?{urlencode(fields)}")


def test_two_images_are_compared(registry: Client, repo: str) -> None:
    """By tag or digest, of one repository or two: layers, environment, sizes."""
    registry.push(repo, OLD, "old")
    registry.push(f"{repo}/other", NEW, "new")
    answer = diff(registry, before=f"{repo}:old", after=f"{repo}/other@{NEW.digest}")
    found = answer.json
    assert answer.status == 200
    assert found["before"] == {"digest": OLD.digest, "platform": "linux/amd64", "size": _size(OLD)}
    assert found["environment"] == [{"name": "A", "before": "1", "after": "2"}]
    assert found["config"] == found["labels"] == found["annotations"] == []
    assert [each["side"] for each in found["layers"]] == ["before", "both", "after"]
    assert found["shared_bytes"] == len(b"base layer")


def _size(image: Image) -> int:
    return len(image.content) + sum(len(each) for each in image.blobs)


def test_of_an_index_the_manifest_of_a_platform_is_compared(registry: Client, repo: str) -> None:
    """An index without one is 404."""
    platforms = ({"os": "linux", "architecture": "arm64"}, {"os": "linux", "architecture": "amd64"})
    listed = [each.descriptor(platform=platform) for each, platform in zip((NEW, OLD), platforms, strict=True)]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    index = Image(json.dumps(document).encode(), INDEX, (), (NEW, OLD))
    registry.push(repo, index, "multi")
    registry.push(repo, OLD, "old")
    both = {"before": f"{repo}:multi", "after": f"{repo}:old"}
    assert diff(registry, **both).json["before"]["digest"] == OLD.digest
    assert diff(registry, **both, platform="linux/arm64").json["before"]["digest"] == NEW.digest
    assert diff(registry, **both, platform="linux/s390x").error == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("wrong", ["", "app", "app:", "APP:v1", "app@v1@", "app:v1:v2"])
def test_what_names_no_image_is_refused(registry: Client, wrong: str) -> None:
    """With the field that is wrong."""
    answer = diff(registry, before="app:v1", after=wrong)
    assert answer.error == (400, "UNSUPPORTED")
    assert answer.detail["description"].startswith("after")


def test_both_images_have_to_be_readable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A hidden one is refused, whether it exists or not."""
    place = tmp_path_factory.mktemp("diff")
    users = ("admin", "alice")
    lines = [f"{user}:{bcrypt.hashpw(user.encode(), bcrypt.gensalt(4)).decode()}\n" for user in users]
    place.joinpath("htpasswd").write_text("".join(lines))
    rules = {
        "repositories": {"open": {"defaultPolicy": ["read"]}, "hidden": {"defaultPolicy": []}},
        "adminPolicy": {"users": ["admin"], "actions": ["read", "create"]},
    }
    http = {"auth": {"htpasswd": {"path": str(place / "htpasswd")}}, "accessControl": rules}
    with serve(config={"http": http}, memory=True) as running:
        admin, alice = (Client(running.host, user=f"{name}:{name}") for name in users)
        for name in ("open", "hidden"):
            admin.push(name, image(name), "v1")
        assert diff(admin, before="open:v1", after="hidden:v1").status == 200
        for other in ("hidden:v1", "hidden:none", "missing:v1"):
            assert diff(alice, before="open:v1", after=other).error == (403, "DENIED")
            assert diff(alice, before=other, after="open:v1").error == (403, "DENIED")
        assert diff(alice, before="open:v1", after="open:v2").error == (404, "MANIFEST_UNKNOWN")
        assert diff(Client(running.host), before="open:v1", after="open:v1").error == (401, "UNAUTHORIZED")
