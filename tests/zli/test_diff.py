"""`zli diff`: it reads manifests and configs, so that it works with any registry."""

import json
from typing import Any

import pytest

from http_client import Client
from layout.images import CONFIG, INDEX, LAYER, MANIFEST, Image, sha256
from zli.conftest import Zli, answering
from zot.testing import serve


def built(*layers: bytes, **settings: Any) -> Image:
    """Return an image of layers and settings."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": settings}).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": sha256(each), "size": len(each)} for each in layers],
    }
    return Image(json.dumps(document).encode(), MANIFEST, (config, *layers))


OLD = built(b"base", b"old", Env=["A=1", "B=2"], User="root", Labels={"note": "one\ntwo\x1b[31m"})
NEW = built(b"base", b"new", Env=["A=2", "B=2"], Cmd=["run"])


def size(image: Image) -> int:
    """Return the bytes of an image."""
    return len(image.content) + sum(len(each) for each in image.blobs)


def test_it_shows_what_differs(zli: Zli) -> None:
    """By the distribution API alone; text of images moves no cursor."""
    with serve(memory=True) as registry:
        client = Client(registry.host)
        client.push("app", OLD, "old")
        client.push("other/app", NEW, "new")
        given = ["diff", "app:old", f"other/app@{NEW.digest}", f"--url={registry.url}"]
        assert zli(*given) == (
            f"--- app:old {OLD.digest} linux/amd64 {size(OLD)} B\n"
            f"+++ other/app@{NEW.digest} {NEW.digest} linux/amd64 {size(NEW)} B\n"
            "\nLAYERS (4 B in both)\n"
            f"- {sha256(b'old')} 3 B\n"
            f"  {sha256(b'base')} 4 B\n"
            f"+ {sha256(b'new')} 3 B\n"
            '\nCONFIG\n+ Cmd: ["run"]\n- User: root\n'
            "\nENVIRONMENT\n- A=1\n+ A=2\n"
            "\nLABELS\n- note=one\n  two\\x1b[31m\n"
        )
        found = json.loads(zli(*given, "-f", "json"))
        assert found["before"] == {
            "image": "app:old",
            "digest": OLD.digest,
            "platform": "linux/amd64",
            "size": size(OLD),
        }
        assert found["environment"] == [{"name": "A", "before": "1", "after": "2"}]
        assert zli(*given, "-f", "yaml").startswith("---\nbefore:\n    image: app:old\n")
        assert zli("diff", "app:old", "app:old", f"--url={registry.url}").count("\n") == 6
        assert "MANIFEST_UNKNOWN" in zli.refused("diff", "app:old", "app:none", f"--url={registry.url}")


def test_of_an_index_it_compares_a_platform(zli: Zli) -> None:
    """The one that is asked for."""
    platform = {"os": "linux", "architecture": "arm64"}
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [NEW.descriptor(platform=platform)]}
    index = Image(json.dumps(document).encode(), INDEX, (), (NEW,))
    with serve(memory=True) as registry:
        client = Client(registry.host)
        client.push("app", index, "multi")
        client.push("app", NEW, "new")
        url = f"--url={registry.url}"
        found = json.loads(zli("diff", "app:multi", "app:new", "--platform", "linux/arm64", url, "-f", "json"))
        assert found["before"]["digest"] == found["after"]["digest"] == NEW.digest
        said = zli.refused("diff", "app:multi", "app:new", "--platform", "linux/s390x", url)
        assert said == "Error: app:multi has no manifest for linux/s390x\n"


def test_a_registry_without_headers_is_read_as_well(zli: Zli) -> None:
    """The digest is computed; a config that is not there leaves its fields empty."""
    answers = {"/v2/app/manifests/v1": (200, OLD.content), "/v2/app/manifests/v2": (200, NEW.content)}
    with answering(answers) as url:
        found = json.loads(zli("diff", "app:v1", "app:v2", f"--url={url}", "-f", "json"))
    assert found["before"]["digest"] == OLD.digest
    assert found["environment"] == []
    assert [each["side"] for each in found["layers"]] == ["before", "both", "after"]


@pytest.mark.parametrize("wrong", ["app", ":v1", "app@"])
def test_both_have_to_be_images(zli: Zli, wrong: str) -> None:
    """The error is that of other commands."""
    assert "invalid image reference format" in zli.refused("diff", "app:v1", wrong, "--url=http://127.0.0.1:1")
