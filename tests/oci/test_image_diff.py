"""Comparing images: what differs is named, what is alike is left out, and nothing of a client makes it fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zot.oci.image_diff import CONTENT_LIMIT_BYTES, ValueDiff, child_of, config_of, image_content, image_diff

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def content(config: Any, *layers: tuple[str, int], annotations: Any = None) -> Any:
    """Return an image of some layers and a config."""
    manifest = {
        "config": {"digest": C, "size": 10},
        "layers": [{"digest": digest, "size": size, "mediaType": "layer"} for digest, size in layers],
        "annotations": annotations,
    }
    return image_content(A, "manifest", json.dumps(manifest).encode(), json.dumps(config).encode())


def config(**settings: Any) -> dict[str, Any]:
    """Return a config of linux/arm64/v8."""
    return {"os": "linux", "architecture": "arm64", "variant": "v8", "config": settings}


def test_values_that_differ_are_named() -> None:
    """Of the config, the environment, labels and annotations; None where an image has none."""
    before = content(config(Env=["A=1", "B=2=3"], Labels={"x": "1"}, Cmd=["run"]), annotations={"n": "1"})
    after = content(config(Env=["A=1", "B=4", "C="], User="app", Cmd=["run", "-v"]), annotations={"n": "2"})
    found = image_diff(before, after)
    assert found.environment == (ValueDiff("B", "2=3", "4"), ValueDiff("C", None, ""))
    assert found.labels == (ValueDiff("x", "1", None),)
    assert found.config == (ValueDiff("Cmd", '["run"]', '["run", "-v"]'), ValueDiff("User", None, "app"))
    assert found.annotations == (ValueDiff("n", "1", "2"),)
    assert found.before.platform == "linux/arm64/v8"


def test_layers_are_those_of_both() -> None:
    """What only the first has comes before the layers of the second; what both have counts once as shared."""
    found = image_diff(content({}, (A, 1), (B, 2)), content({}, (B, 2), (B, 2), (C, 4)))
    assert [(each.digest, each.side) for each in found.layers] == [
        (A, "before"),
        (B, "both"),
        (B, "both"),
        (C, "after"),
    ]
    assert found.shared_bytes == 2
    assert found.after.size - found.before.size > 4


def test_an_image_does_not_differ_from_itself() -> None:
    """All lists of differences are empty."""
    one = content(config(Env=["A=1"], Labels={"x": "1"}), (A, 1), annotations={"n": "1"})
    found = image_diff(one, one)
    assert (found.config, found.environment, found.labels, found.annotations) == ((), (), (), ())
    assert [each.side for each in found.layers] == ["both"]


@pytest.mark.parametrize(
    ("platform", "digest"),
    [("", B), ("linux/arm64", A), ("linux/arm64/v8", A), ("linux/arm64/v7", None), ("linux/arm", None)],
)
def test_an_index_has_a_manifest_for_a_platform(platform: str, digest: str | None) -> None:
    """The one that is asked for; without a wish linux/amd64, and never an attestation."""
    index = {
        "manifests": [
            {"digest": C, "platform": {"os": "unknown", "architecture": "unknown"}},
            {"digest": A, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {"digest": B, "platform": {"os": "linux", "architecture": "amd64"}},
        ]
    }
    assert child_of(json.dumps(index).encode(), platform) == digest


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"[]",
        b"\xff",
        b"{" * 200_000,
        b'{"a":' * 5000,
        b'{"layers": 1, "config": [], "annotations": [], "manifests": {}}',
        b'{"layers": [1, {"digest": 5}], "config": {"digest": 1}, "annotations": {"a": 1}, "manifests": [1, {}]}',
        b'{"config": {"Env": {"a": 1}, "Labels": [], "Cmd": {"a": [1]}}, "os": 1}',
        b" " * (CONTENT_LIMIT_BYTES + 1),
    ],
)
def test_nothing_that_is_stored_makes_it_fail(hostile: bytes) -> None:
    """What cannot be read is left out."""
    found = image_content(A, "", hostile, hostile)
    json.dumps(image_diff(found, content({})).before.platform)
    assert found.layers == ()
    assert child_of(hostile, "") is None
    assert config_of(hostile) is None
